"""Watches a run from outside: reads the topics as anyone may, and touches nothing."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from ol0.kafka.topic_readers.log_reader import LogReader
from ol0.operator.figure_sources import Sources
from ol0.operator.figures import (
    CandidateStory,
    LiftInterval,
    Point,
    ReleaseSeen,
    Seen,
    Serving,
    Success,
)
from ol0.operator.topic_tally import Tally
from ol0.records import Arm, Digest, Transition, Verdict

OBSERVED_TOPICS: Final = ("outcomes", "verdicts", "transitions", "releases", "candidates", "state")
POINT_EVERY_S: Final = 1.0
RATE_WINDOW_S: Final = 5.0
STOP_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Observation:
    """The whole of what is known of a run at one moment.

    ``events_per_s`` counts decisions and feedback that came in over the last seconds. ``lag`` is how many decisions
    have no outcome yet: those whose window is open, and those that wait. Lists are in the order of reading.
    ``evaluation`` is the evaluator's newest snapshot as it came, of which ``lift`` is read: it holds for the event time
    ``evaluated_ms`` and was written at ``written_ms`` of the wall clock.
    """

    elapsed_s: float
    decisions: int
    planned: int
    feedback: int
    outcomes: int
    rewarded: int
    events_per_s: float
    lag: int
    arms: Mapping[Arm, Success]
    kinds: Mapping[str, Mapping[Arm, Success]]
    lift: LiftInterval
    serving: Serving | None
    candidates: tuple[CandidateStory, ...]
    releases: tuple[ReleaseSeen, ...]
    verdicts: tuple[Seen[Verdict], ...]
    transitions: tuple[Seen[Transition], ...]
    restarts: Mapping[str, int]
    series: tuple[Point, ...]
    evaluation: bytes | None = None
    evaluated_ms: int | None = None
    written_ms: int | None = None

    def story(self, digest: Digest) -> CandidateStory | None:
        """The candidate with this digest."""
        return next((story for story in self.candidates if story.digest == digest), None)


class Observer:
    """Follows the topics in a thread of its own and gives the state of the run at any time.

    A context manager: entering starts the thread, leaving ends it. ``observe`` may be called from any thread; after
    after leaving it gives the last figures.

    Args:
        follower: reads ``OBSERVED_TOPICS``; the observer closes it.
        sources: the figures that are on no topic.
        kind_of: what kind of prompt each group is, ``new`` or ``old``.
        clock: seconds, for the age of the run and the rates.
    """

    def __init__(
        self,
        follower: LogReader,
        sources: Sources,
        *,
        kind_of: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._follower = follower
        self._sources = sources
        self._tally = Tally(kind_of or {})
        self._series: list[Point] = []
        self._rates: deque[tuple[float, int]] = deque()
        self._clock = clock
        self._started_s = clock()
        self._caught_up = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def __enter__(self) -> Self:
        self._started_s = self._clock()
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join(STOP_S)

    @property
    def caught_up(self) -> bool:
        """Whether everything that the topics held at first has been read, and is in what ``observe`` gives."""
        return self._caught_up

    def observe(self) -> Observation:
        """The state of the run now.

        Raises:
            OL0Error: the thread could not continue, or the evaluator's newest snapshot cannot be read, and why.
        """
        if self._failure is not None:
            raise self._failure
        with self._lock:
            return self._observation()

    def look(self) -> None:
        """One round of the thread: read what came, and keep a point once a second."""
        records = self._follower.poll()
        at_s = self._elapsed_s()
        with self._lock:
            for _, record, _ in records:
                self._tally.add(record, at_s)
            self._caught_up = self._follower.caught_up
            if not self._series or at_s - self._series[-1].elapsed_s >= POINT_EVERY_S:
                self._keep_point()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.look()
        except BaseException as error:  # noqa: BLE001 - raised by the next observe(): a thread has no caller
            self._failure = error
        finally:
            self._follower.close()

    def _keep_point(self) -> None:
        now = self._observation()
        self._rates.append((now.elapsed_s, now.decisions + now.feedback))
        while now.elapsed_s - self._rates[0][0] > RATE_WINDOW_S:
            self._rates.popleft()
        self._series.append(_point(now))

    def _observation(self) -> Observation:
        tally, decisions = self._tally, self._sources.decisions()
        evaluation, evaluated = tally.evaluation, tally.evaluated()
        return Observation(
            elapsed_s=self._elapsed_s(),
            decisions=decisions,
            planned=self._sources.planned,
            feedback=self._sources.feedback(),
            outcomes=tally.outcomes,
            rewarded=tally.rewarded,
            events_per_s=self._events_per_s(),
            lag=max(0, decisions - tally.outcomes),
            arms=tally.arms(),
            kinds=tally.kinds(),
            lift=evaluated.lift,
            serving=tally.serving,
            candidates=tally.candidates(),
            releases=tuple(tally.releases.values()),
            verdicts=tuple(tally.verdicts),
            transitions=tuple(tally.transitions),
            restarts=dict(self._sources.restarts()),
            series=tuple(self._series),
            evaluation=None if evaluation is None else evaluation.body,
            evaluated_ms=evaluated.time_ms,
            written_ms=None if evaluation is None else evaluation.time_ms,
        )

    def _events_per_s(self) -> float:
        if len(self._rates) < 2:  # noqa: PLR2004 - a rate lies between two moments
            return 0.0
        (first_s, first), (last_s, last) = self._rates[0], self._rates[-1]
        return (last - first) / (last_s - first_s)

    def _elapsed_s(self) -> float:
        return self._clock() - self._started_s


def _point(now: Observation) -> Point:
    """What the plots need."""
    return Point(
        elapsed_s=now.elapsed_s,
        decisions=now.decisions,
        outcomes=now.outcomes,
        events_per_s=now.events_per_s,
        lag=now.lag,
        success={arm: figures.recent for arm, figures in now.arms.items()},
        lift=now.lift,
        restarts=sum(now.restarts.values()),
    )
