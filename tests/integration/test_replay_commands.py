"""The commands around the store, on a real broker and a real store, with the feedback service as a process."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ol0.kafka.sending.record_sender import RecordSender
from ol0.operator.store.forget import user_pseudonym
from ol0.records import Decision, Outcome, UserFeedback
from ol0.replay.connection import connect
from ol0.replay.counters import Counters, DecisionDrop
from ol0.replay.layout import SCRIPT_KEYS, Key, store_key
from ol0.stacks.native import NativeStack
from support.kafka_log import read_records
from testbed.lineages import Place, bring_in, services
from testbed.processes import ol0
from testbed.waiting import wait_until

if TYPE_CHECKING:
    from redis import Redis

START_MS = 1_772_366_400_000  # 2026-03-01, noon
WITHIN_S = 40.0
GONE = DecisionDrop.FORGOTTEN
NOTHING = "nothing was changed; add --apply to remove them"


class Host:
    """A host application with two users; event time moves when it says so."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.redis: Redis = connect(place.settings.redis)
        self._sender = RecordSender(place.lineage())
        self._numbers = count()
        self._now_ms = START_MS

    def decide(self, decisions: int, user: str) -> list[Decision]:
        """Decisions of a user, a second apart, with a thumb for each."""
        made = []
        for number, _ in zip(self._numbers, range(decisions), strict=False):
            self._now_ms += 1_000
            decision = self.place.decision(number, self._now_ms)
            made.append(replace(decision, user=user_pseudonym(self.place.settings, user)))
        thumbs = [
            UserFeedback(f"of {it.decision_id}", it.decision_id, it.session_id, user, it.time_ms + 1, thumb=1)
            for it in made
        ]
        self._sender.send_all([*made, *thumbs])
        return made

    def pass_windows(self) -> None:
        self.place.pass_windows(self._now_ms)
        self._now_ms += 3_600_000

    def wait_for(self, condition: Callable[[Counters], bool]) -> None:
        wait_until(lambda: condition(self.place.counters()), WITHIN_S)

    def dropped(self) -> int:
        return self.place.counters().decisions_dropped[GONE]

    def keys(self) -> list[str]:
        return [store_key(self.place.prefix, name) for name in SCRIPT_KEYS]

    def ring(self) -> object:
        """Everything that the learner can learn from, but the order of the payloads, which means nothing."""
        entries, priorities, payloads = (
            store_key(self.place.prefix, name) for name in (Key.ENTRIES, Key.PRIORITIES, Key.PAYLOADS)
        )
        return self.redis.dump(entries), self.redis.dump(priorities), self.redis.hgetall(payloads)

    def run(self, *arguments: str) -> tuple[int, str]:
        """``ol0 ...`` on this lineage: status, and what it says."""
        done = ol0(*arguments, "--config", self.place.config)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def host(stack: NativeStack, tmp_path_factory: pytest.TempPathFactory) -> Host:
    tree: dict[str, dict[str, object]] = {"streaming": {"clock": "ticks"}, "online_learning": {"anchors": 50}}
    return Host(bring_in(stack, tmp_path_factory.mktemp("replay"), tree))


def test_a_wiped_store_is_rebuilt_from_the_logs_byte_for_byte_and_nothing_is_published_twice(host: Host) -> None:
    # Given a store with examples of two users, and all outcomes published
    with services(host.place, ("feedback",)):
        host.decide(20, "ann")
        host.decide(15, "bob")
        host.pass_windows()
        host.wait_for(lambda counters: counters.outcomes == 35)
        wait_until(lambda: not host.redis.xlen(store_key(host.place.prefix, Key.OUTBOX)), WITHIN_S)

        status, said = host.run("replay", "rebuild", "--apply")
        assert (status, "stop it first" in said) == (1, True), said
        ring, before = host.ring(), host.place.counters()
        status, said = host.run("replay", "stats")
        assert status == 0, said
        assert "35 of 10,000" in said

    # When it is wiped, then nothing begins anew in silence
    host.redis.delete(*host.keys())
    status, said = host.run("topics", "apply")
    assert (status, "ol0 replay rebuild" in said) == (1, True), said
    status, said = host.run("replay", "rebuild")
    assert (status, "the whole log" in said, "number 34" in said) == (0, True, True), said
    assert not host.redis.exists(*host.keys())

    # And when it is rebuilt, then it holds the same
    wait_until(lambda: host.run("replay", "rebuild", "--apply")[0] == 0, WITHIN_S)  # the group forgets its member
    with services(host.place, ("feedback",)):
        host.wait_for(lambda counters: counters.outcomes == 35)
        assert host.ring() == ring
        assert host.place.counters() == before
        host.decide(1, "bob")
        host.pass_windows()
        host.wait_for(lambda counters: counters.outcomes == 36)
        wait_until(lambda: not host.redis.xlen(store_key(host.place.prefix, Key.OUTBOX)), WITHIN_S)
    outcomes = [record for record in read_records(host.place.lineage(), "outcomes") if isinstance(record, Outcome)]
    assert sorted(outcome.sequence for outcome in outcomes) == list(range(36))
    assert len({outcome.decision_id for outcome in outcomes}) == 36


def test_a_forgotten_user_leaves_the_store_and_does_not_come_back(host: Host) -> None:
    with services(host.place, ("feedback",)):
        # Given examples and open windows of somebody
        host.decide(4, "ann")
        host.wait_for(lambda counters: counters.open == 4)

        # When he is forgotten, then they are gone, and so is what he does next
        status, said = host.run("forget", "ann", "--dry-run")
        assert (status, "20 examples of this user" in said, "nothing was changed" in said) == (0, True, True), said
        status, said = host.run("forget", "ann", "--reason", "asked for it", "--yes")
        assert status == 0, said
        assert "4 open windows, 20 examples" in said
        assert "7 days after they were written" in said
        assert (host.place.counters().open, host.dropped()) == (0, 4)
        sent: list[Decision] = []

        def something_is_dropped() -> bool:
            sent.extend(host.decide(1, "ann"))
            return host.dropped() > 4

        wait_until(something_is_dropped, WITHIN_S)

    # And a process that starts later knows
    with services(host.place, ("feedback",)):
        host.decide(3, "ann")
        host.decide(1, "bob")
        host.pass_windows()
        host.wait_for(lambda counters: counters.examples == 37 and not counters.waiting)
        assert host.dropped() == 4 + len(sent) + 3
        assert host.place.counters().imbalances() == []


def test_examples_are_excluded_by_time_only_when_they_are_told_to_be(host: Host) -> None:
    noon = ("--between", "2026-03-01T12:00", "2026-03-01T12:30")

    status, said = host.run("replay", "exclude", *noon)
    assert (status, said.splitlines()) == (0, ["15 examples selected", NOTHING])
    assert host.run("replay", "exclude", *noon, "--apply")[1].splitlines()[1] == "15 examples removed"
    assert host.run("replay", "exclude", *noon)[1].startswith("0 examples")
    assert host.run("replay", "exclude", "--user", "bob")[1].startswith("2 examples")
    assert host.run("replay", "exclude")[0] == 2


def test_a_lineage_without_a_store_is_told_what_makes_one(host: Host, tmp_path: Path) -> None:
    host.redis.delete(*host.keys())

    status, said = host.run("replay", "stats")

    assert status == 1
    assert "ol0 replay rebuild" in said
