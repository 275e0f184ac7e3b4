from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Event

import pytest

from ol0.config import Signer
from ol0.controller.controller import Controller
from ol0.controller.signing import OPEN, Keyring
from ol0.errors import ConfigError, StreamError
from ol0.learner.service import LearnerService
from ol0.learning.replay import LocalReplay
from ol0.records import Candidate, Gate, Judgement, Record, ServingState, Snapshot, Verdict
from support.keyrings import keyring, new_keys
from unit.learning.learner_world import SMALL, logged, make_base, make_replay, serving

BASE = make_base()


class StopAfter(Event):
    """Time of the test: every idle wait is one tick, and after some of them the service is told to stop."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self.left = waits

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - nobody waits here
        self.left -= 1
        if self.left <= 0:
            self.set()
        return self.is_set()


class FakeKafka:
    """Releases that come one a poll, and a log that keeps what is written."""

    def __init__(self, states: Sequence[ServingState | None]) -> None:
        self.states = list(states)
        self.transactions: list[Sequence[Record]] = []
        self.snapshots: dict[str, bytes] = {}
        self.deleting: list[Sequence[Record]] = []  # the transactions that deleted something
        self.fenced = False

    def poll(self) -> ServingState | None:
        return self.states.pop(0) if self.states else None

    def write(self, records: Sequence[Record], forget: Sequence[str] = ()) -> None:
        if self.fenced:
            raise StreamError("fenced")
        self.transactions.append(records)
        self.snapshots |= {record.service: record.body for record in records if isinstance(record, Snapshot)}
        for key in forget:
            del self.snapshots[key]
        if forget:
            self.deleting.append(records)

    def read_snapshots(self, prefix: str) -> Mapping[str, bytes]:
        return {key: body for key, body in self.snapshots.items() if key.startswith(prefix)}

    @property
    def candidates(self) -> list[Candidate]:
        return [record for records in self.transactions for record in records if isinstance(record, Candidate)]


def run(kafka: FakeKafka, replay: LocalReplay, waits: int = 2, keys: Keyring = OPEN) -> list[Controller]:
    opened: list[Controller] = []

    def open_replay(base: Controller) -> LocalReplay:
        opened.append(base)
        return replay

    service = LearnerService(
        releases=kafka, writer=kafka, open_replay=open_replay, config=SMALL, seed=3, keys=keys, clock=lambda: 0.0
    )
    service.run(StopAfter(waits))
    return opened


def test_without_a_base_it_waits_and_touches_nothing() -> None:
    kafka = FakeKafka([None, None, None])
    assert run(kafka, make_replay(BASE), waits=3) == []
    assert kafka.transactions == []


def test_it_trains_offers_and_then_waits_for_the_verdict() -> None:
    kafka = FakeKafka([None, serving(BASE)])
    (opened,) = run(kafka, make_replay(BASE), waits=5)
    assert opened.digest == BASE.digest
    (transaction,) = kafka.transactions
    assert [type(record) for record in transaction] == [Candidate, Snapshot, Snapshot]


def test_a_verdict_lets_it_offer_again_once_there_is_more_to_learn() -> None:
    state = serving(BASE)
    # 200 examples are two rounds: the second candidate has the rest of them.
    kafka = FakeKafka([state, None, replace(state, sequence=2, decided_step=1)])
    run(kafka, make_replay(BASE), waits=3)
    assert [candidate.step for candidate in kafka.candidates] == [1, 2]


def test_killed_and_started_again_it_does_not_offer_twice() -> None:
    kafka, replay = FakeKafka([serving(BASE)]), make_replay(BASE)
    run(kafka, replay)
    kafka.states = [serving(BASE)]
    run(kafka, replay)
    assert len(kafka.candidates) == 1


def test_a_second_learner_ends_this_one() -> None:
    kafka = FakeKafka([serving(BASE)])
    kafka.fenced = True
    with pytest.raises(StreamError):
        run(kafka, make_replay(BASE))


def test_old_snapshots_are_deleted_in_the_transaction_that_makes_them_old() -> None:
    state = serving(BASE)
    kafka = FakeKafka([state, None, replace(state, sequence=2, decided_step=1)])
    run(kafka, make_replay(BASE), waits=3)
    assert set(kafka.snapshots) == {"learner", f"learner/{kafka.candidates[-1].digest}"}
    ((offered, *_),) = kafka.deleting
    assert offered == kafka.candidates[-1]


def approved(keys: Keyring) -> ServingState:
    """The base serves, approved by gates with these keys."""
    state = serving(BASE)
    digest = state.base.digest
    verdicts = [Verdict(digest, digest, digest, 0, None, gate, Judgement.APPROVE, (), 1, 1) for gate in Gate]
    base = replace(state.base, approvals=tuple(map(keys.sign, verdicts)))
    return replace(state, base=base, live=base)


@pytest.mark.parametrize(
    ("lineage", "own", "complaint"),
    [
        (keyring(new_keys()), OPEN, "this lineage has keys, and these settings have none"),
        (keyring(new_keys()), keyring(new_keys()), "not approved with the keys of security.trusted"),
        (OPEN, keyring(new_keys()), "A lineage that began without keys"),
    ],
)
def test_a_learner_that_nobody_would_believe_says_so_at_once(lineage: Keyring, own: Keyring, complaint: str) -> None:
    kafka = FakeKafka([approved(lineage)])
    with pytest.raises(ConfigError, match=complaint):
        run(kafka, make_replay(BASE), keys=own)
    assert kafka.transactions == []


def test_a_learner_whose_key_nobody_knew_offers_again_once_it_has_another() -> None:
    # Given a learner with a key that the others do not know: its candidate is a dead letter, and has no answer.
    good, unknown = new_keys(), new_keys()
    others = keyring(good)
    own = {**good, Signer.LEARNER: unknown[Signer.LEARNER]}
    kafka, replay, state = FakeKafka([approved(others)]), make_replay(BASE), approved(others)
    run(kafka, replay, waits=5, keys=Keyring(others.lineage, own, keyring(good, unknown).trusted))
    (refused,) = kafka.candidates
    assert others.flaw(refused) is not None
    # When it starts again with a key that they know, and there is something new to learn.
    kafka.states = [state]
    replay.add(logged(BASE, 64, seed=4, new=True), watermark_ms=2_000)
    run(kafka, replay, waits=5, keys=others)
    # Then it offers the same step again, and is believed.
    _, believed = kafka.candidates
    assert (believed.step, others.flaw(believed)) == (refused.step, None)
