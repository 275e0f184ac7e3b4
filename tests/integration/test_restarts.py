"""Faults 8 and 9 on the real services: killed around a commit, rolled back, and started twice."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

import pytest

from ol0.clock import wall_clock_ms
from ol0.errors import Fenced, OL0Error
from ol0.kafka.sending.record_sender import RecordSender
from ol0.kafka.transactional_writer import read_snapshots
from ol0.learner import service as learner
from ol0.learner.handler import LearnerHandler, snapshot_key
from ol0.learning.progress import Progress
from ol0.observability.rounds import Rounds
from ol0.records import (
    Candidate,
    Digest,
    Gate,
    Judgement,
    Phase,
    ServingState,
    Snapshot,
    Transition,
    UserFeedback,
    Verdict,
)
from ol0.stacks.native import NativeStack
from ol0.supervisor.service_commands import ONE_THREAD
from support import dying
from support.kafka_log import read_records
from testbed.lineages import Journal, Place, bring_in, services
from testbed.processes import ol0
from testbed.waiting import wait_until

SETTINGS: Mapping[str, Mapping[str, object]] = {
    "streaming": {"clock": "ticks", "batch_wait_s": 0.05},
    "safety": {"stages": [], "cooldown_s": 0.0},  # both approvals release: people are not what this is about
    "online_learning": {
        "min_replay": 40,
        "examples_per_update": 8,
        "batch_size": 32,
        "steps_per_update": 2,
        "evidence_errors": 0.0,  # what few examples say is no matter here, only what becomes of it
        "lead_errors": 0.0,
    },
}
EXAMPLES = 48
HOURS_MS = 10_000_000
WITHIN_S = 60.0
WRITES = {
    "canary": "verdicts",
    "drift": "verdicts",
    "release": "releases",
    "evaluator": "state",
    "learner": "candidates",
}


def teach(place: Place, batch: int) -> None:
    """Decisions with a thumb each; their windows close, beyond any cooldown that began at wall time."""
    time_ms = wall_clock_ms() + (batch + 1) * HOURS_MS
    decisions = [place.decision(batch * EXAMPLES + number, time_ms) for number in range(EXAMPLES)]
    thumbs = [
        UserFeedback(f"f{batch}-{number}", one.decision_id, one.session_id, "user", time_ms, 1 if number % 3 else -1)
        for number, one in enumerate(decisions)
    ]
    RecordSender(place.lineage()).send_all([*decisions, *thumbs])
    place.pass_windows(time_ms)
    wait_until(lambda: place.counters().examples == (batch + 1) * EXAMPLES, WITHIN_S)


@dataclass
class Killed:
    """A lineage whose services were killed around their commits, in turn.

    Attributes:
        visible: what each had written to its topic after it died before, and after, its commit.
    """

    place: Place
    visible: dict[tuple[str, str], int] = field(default_factory=dict)

    def written(self, service: str) -> int:
        """Verdicts, serving states, snapshots or, after the base, candidates of this service that can be read now."""
        records = read_records(self.place.lineage(), WRITES[service])
        match service:
            case "canary" | "drift":
                return sum(isinstance(one, Verdict) and one.gate == service for one in records)
            case "evaluator":
                return sum(isinstance(one, Snapshot) and one.service == service for one in records)
            case "learner":
                return sum(isinstance(one, Candidate) and one.step > 0 for one in records)
            case _:
                return len(records)

    def kill(self, service: str, when: str) -> None:
        topic = self.place.lineage().topics.full(WRITES[service])
        died = subprocess.run(
            [sys.executable, dying.__file__, service, self.place.config, topic, when],
            env={**os.environ, **ONE_THREAD},
            capture_output=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert died.returncode == -9, died.stderr.decode()[-2000:]
        self.visible[service, when] = self.written(service)


@pytest.fixture(scope="module")
def killed(stack: NativeStack, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    """Each service died before its commit, and its successor after it."""
    story = Killed(bring_in(stack, tmp_path_factory.mktemp("restarts"), SETTINGS))
    with services(story.place, ("feedback",)):
        teach(story.place, 0)
    for service in WRITES:
        for when in ("before", "after"):
            story.kill(service, when)
    return story


@dataclass
class Learning:
    """A learner in a thread, where one can look into it.

    Attributes:
        handler: its inside.
        error: what ended it.
    """

    handler: LearnerHandler | None = None
    error: OL0Error | None = None

    def weights(self) -> bytes:
        assert self.handler is not None
        return self.handler._learner.snapshot()


@contextmanager
def learning(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Learning]:
    learning, stop = Learning(), Event()

    class Watched(LearnerHandler):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)  # type: ignore[arg-type]
            learning.handler = self

    def run() -> None:
        try:
            learner.run(place.settings, stop, Rounds("learner"))
        except OL0Error as error:
            learning.error = error

    monkeypatch.setattr(learner, "LearnerHandler", Watched)
    thread = Thread(target=run)
    thread.start()
    try:
        yield learning
    finally:
        stop.set()
        thread.join()


def state_of(place: Place, key: str) -> bytes:
    return read_snapshots(key, place.lineage())[key].body


@pytest.mark.parametrize("service", WRITES)
def test_fault_8_what_a_service_wrote_before_it_was_killed_is_there_if_it_was_committed_and_only_then(
    killed: Killed, service: str
) -> None:
    assert killed.visible[service, "before"] == 0
    assert killed.visible[service, "after"] == 1


def test_fault_8_after_all_these_deaths_everything_is_there_once_and_learning_goes_on_bit_for_bit(
    killed: Killed, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = killed.place
    (first,) = [one for one in read_records(place.lineage(), "candidates") if isinstance(one, Candidate) and one.step]
    at_first = state_of(place, snapshot_key(first.digest))
    with (
        services(place, ("feedback", "canary", "drift", "release", "evaluator")),
        Journal(place.settings, "candidates", "verdicts", "releases", "transitions") as journal,
        learning(place, monkeypatch) as one,
    ):
        # The restarted learner stands where it stood when it offered, and offers nothing until that has its verdict.
        wait_until(lambda: one.handler, WITHIN_S)
        assert one.weights() == at_first
        journal.first(ServingState, lambda it: it.live.digest == first.digest, within_s=WITHIN_S)
        # The next release comes of more examples, and a person takes it back.
        teach(place, 1)
        second = journal.first(Candidate, lambda it: it.step == 2, within_s=WITHIN_S)
        journal.first(ServingState, lambda it: it.live.digest == second.digest, within_s=WITHIN_S)
        assert one.weights() == state_of(place, snapshot_key(second.digest)) != at_first
        answer = ol0("releases", "rollback", "--reason", "a test", "--yes", "--config", place.config)
        assert answer.returncode == 0, answer.stderr
        assert f"{first.digest} (step 1) serves" in answer.stdout
        # Then the learner is back, bit for bit, where the release that serves again was offered.
        wait_until(lambda: Progress.unpack(state_of(place, "learner")).resume == first.digest, WITHIN_S)
        assert one.weights() == at_first
        assert one.error is None
        journal.first(Transition, lambda it: it.to_phase is Phase.QUARANTINED)
    check_each_once(journal, (first.digest, second.digest))
    counted = json.loads(state_of(place, "evaluator"))["state"]["transitions"]
    assert counted == Counter(one.to_phase.value for one in journal.all(Transition))


def check_each_once(journal: Journal, digests: Sequence[Digest]) -> None:
    """Nothing is missing, nothing is there twice, though every writer died around its commit."""
    base, *others = [one.digest for one in journal.all(Candidate)]
    assert tuple(others) == tuple(digests)
    finals = [one for one in journal.all(Verdict) if one.judgement is not Judgement.HOLD]
    assert Counter((one.gate, one.digest) for one in finals) == Counter(
        (gate, digest) for gate in Gate for digest in (base, *digests)
    )
    sequences = [one.sequence for one in journal.all(ServingState)]
    assert sequences == list(range(1, len(sequences) + 1))
    moves = Counter((one.digest, one.from_phase, one.to_phase) for one in journal.all(Transition))
    assert set(moves.values()) == {1}


def test_fault_9_of_two_learners_of_one_lineage_the_older_is_fenced(
    killed: Killed, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = killed.place
    with services(place, ("feedback",)), Journal(place.settings, "candidates") as journal:
        with learning(place, monkeypatch) as older:
            wait_until(lambda: older.handler, WITHIN_S)
            with learning(place, monkeypatch) as newer:
                wait_until(lambda: newer.handler, WITHIN_S)
                before = len(journal.all(Candidate))
                # When there is something to offer
                teach(place, 2)
                # Then one of them offers it, and the older learns that it is the older.
                wait_until(lambda: older.error, WITHIN_S)
                journal.at_least(before + 1, Candidate, lambda it: it.step > 2, within_s=WITHIN_S)
                assert isinstance(older.error, Fenced)
                assert newer.error is None
        steps = [one.step for one in journal.all(Candidate)]
    assert sorted(set(steps)) == sorted(steps)
