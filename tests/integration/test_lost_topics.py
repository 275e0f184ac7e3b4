"""A topic was deleted and made anew: what goes on by itself, and what takes a procedure (docs/operating.md)."""

from pathlib import Path

import pytest

from integration.test_restarts import EXAMPLES, SETTINGS, teach
from ol0.config import load_settings
from ol0.kafka.transactional_writer import STATE
from ol0.operator.setup.lineage import warm_up
from ol0.records import Candidate, Phase, ServingState, Transition, Verdict
from ol0.sdk.options import Options
from ol0.sdk.router import Router
from ol0.stacks.native import NativeStack
from ol0.supervisor.service_commands import SERVICES
from support.kafka_log import make_anew, read_records
from support.learning import WITHIN_S, advance, learn
from testbed.lineages import Journal, Place, bring_in, services
from testbed.processes import ol0
from testbed.waiting import wait_until

READERS = {
    "outcomes": ("canary", "drift", "evaluator"),
    "candidates": ("canary", "drift", "release"),
    "verdicts": ("release", "evaluator"),
    "transitions": ("evaluator",),
    "operator": ("release",),
}
LOOPS = {"canary", "drift", "release", "evaluator"}


class Lineage:
    """One whose first candidate serves."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.batches = 0
        self.live = self.learn().live

    def learn(self) -> ServingState:
        """The next candidate, until it serves."""
        self.batches += 1
        return learn(self.place, self.batches - 1)

    def advance(self) -> None:
        """The same, where its services run already."""
        self.batches += 1
        advance(self.place, self.batches - 1)

    def said(self, service: str) -> str:
        return (self.place.config.parent / "logs" / f"{service}.log").read_text()

    def run(self, *arguments: str) -> tuple[int, str]:
        done = ol0(*arguments, "--config", self.place.config)
        return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture(scope="module")
def lineage(stack: NativeStack, tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    return Lineage(bring_in(stack, tmp_path_factory.mktemp("lost"), SETTINGS))


@pytest.fixture
def fresh(stack: NativeStack, tmp_path: Path) -> Lineage:
    """One of the test's own: what it loses nobody else misses."""
    return Lineage(bring_in(stack, tmp_path, SETTINGS))


@pytest.mark.parametrize("topic", READERS)
def test_what_was_read_is_not_missed_and_the_next_candidate_is_released(lineage: Lineage, topic: str) -> None:
    place = lineage.place
    before, said = place.counters(), {name: len(lineage.said(name)) for name in SERVICES}

    make_anew(place.settings, topic)
    lineage.learn()

    noticed = {name for name in LOOPS if "a topic was recreated" in lineage.said(name)[said[name] :]}
    assert noticed == set(READERS[topic])
    assert place.counters().outcomes == before.outcomes + EXAMPLES
    assert place.counters().imbalances() == []


def test_verdicts_that_nobody_had_read_are_not_given_again_and_pinning_back_and_forth_ends_the_wait(
    fresh: Lineage,
) -> None:
    place, live = fresh.place, fresh.live
    others = [name for name in SERVICES if name != "release"]
    with services(place, others), Journal(place.settings, "candidates", "verdicts") as journal:
        teach(place, fresh.batches)
        waits = journal.first(Candidate, lambda it: it.parent == live.digest and it.step > live.step, within_s=WITHIN_S)
        journal.at_least(2, Verdict, lambda it: it.digest == waits.digest, within_s=WITHIN_S)
    fresh.batches += 1
    make_anew(place.settings, "verdicts")
    with services(place, SERVICES):
        wait_until(lambda: phase_of(place, waits) is Phase.OFFERED, WITHIN_S)
        for order in (("pin", place.base.digest, "--yes"), ("pin", live.digest, "--yes"), ("thaw",)):
            status, said = fresh.run("releases", *order)
            assert status == 0, said
        wait_until(lambda: phase_of(place, waits) is Phase.REJECTED, WITHIN_S)
    fresh.learn()


def test_new_hosts_serve_the_base_until_an_order_has_what_serves_published_again(fresh: Lineage) -> None:
    place, live = fresh.place, fresh.live.digest
    make_anew(place.settings, "releases")
    with services(place, SERVICES), Router.open(load_settings(place.config), Options(wait_s=2.0)) as host:
        assert host.serving == (0, place.base.digest)
        for order in ("freeze", "thaw"):
            status, said = fresh.run("releases", order)
            assert status == 0, said
        wait_until(lambda: host.serving is not None and host.serving[1] == live, WITHIN_S)


def test_running_services_write_a_lost_state_again_with_their_next_transaction(fresh: Lineage) -> None:
    with services(fresh.place, SERVICES):
        fresh.advance()
        make_anew(fresh.place.settings, STATE)
        fresh.advance()
    fresh.learn()


def test_a_candidate_that_nobody_had_read_is_made_again_when_the_learner_forgets_it(fresh: Lineage) -> None:
    place = fresh.place
    with services(place, ("feedback", "learner")), Journal(place.settings, "candidates") as journal:
        teach(place, fresh.batches)
        lost = journal.first(Candidate, lambda it: it.step > 0 and phase_of(place, it) is None, within_s=WITHIN_S)
    make_anew(place.settings, "candidates")
    fresh.batches += 1
    delete_snapshot(place, "learner")
    assert fresh.learn().live.step == lost.step


def test_a_state_that_is_lost_while_nothing_runs_takes_a_warm_up_and_a_learner_that_begins_anew(
    fresh: Lineage,
) -> None:
    place, live = fresh.place, fresh.live.digest
    make_anew(place.settings, STATE)
    with services(place, SERVICES), Journal(place.settings, "releases", "transitions") as journal:
        # Given services that know of nothing: hosts serve on, and every candidate is turned down with the remedy
        teach(place, fresh.batches)
        told = journal.first(Transition, lambda it: it.cause.startswith("there is no base yet"), within_s=WITHIN_S)
        assert (told.to_phase, "ol0 warmup" in told.cause) == (Phase.REJECTED, True)
        with Router.open(place.settings) as host:
            assert host.serving is not None
            assert host.serving[1] == live
        # When the base is brought in again
        warm_up(place.settings, place.split, place.config.parent, seed=0)
        first = 1, place.base.digest  # as it was when the lineage began
        journal.at_least(2, ServingState, lambda it: (it.sequence, it.live.digest) == first, within_s=WITHIN_S)
    # Then it serves, and what was learnt is learnt again
    fresh.batches += 1
    delete_snapshot(place, "learner")
    fresh.learn()


def phase_of(place: Place, candidate: Candidate) -> Phase | None:
    """The newest, None before there is one."""
    moves = [one for one in read_records(place.lineage(), "transitions") if isinstance(one, Transition)]
    return next((one.to_phase for one in reversed(moves) if one.digest == candidate.digest), None)


def delete_snapshot(place: Place, key: str) -> None:
    """As docs/operating.md says."""
    words = ("snapshots", "delete", key, "--config", str(place.config))
    assert "nothing was changed" in ol0(*words, "--dry-run").stdout
    done = ol0(*words, "--yes")
    assert f"deleted; restart the service {key}" in done.stdout, done.stdout + done.stderr
