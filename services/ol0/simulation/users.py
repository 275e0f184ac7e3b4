"""Simulated users: they send prompts through the SDK and say later, in part and not always rightly, what they think."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from threading import Event
from time import monotonic

from ol0.operator.setup.prompts import Prompts
from ol0.records import DecisionId, ImplicitKind
from ol0.sdk.feedback import Implicit, ToolResult
from ol0.sdk.router import Router


@dataclass(frozen=True, slots=True)
class UserHabits:
    """How the simulated users behave. Times are in seconds of the wall clock."""

    rate_per_s: float = 180.0
    new_share: float = 0.85  # of the prompts, of a kind that the base was never trained on
    longest_session: int = 5  # prompts, uniform from 1: 3 on average
    pause_s: float = 0.15  # between two prompts of a session, on average
    silent_share: float = 0.2  # decisions of which nobody says anything
    wrong_share: float = 0.02  # of the thumbs
    delay_s: float = 0.3  # until the feedback, on average
    late_share: float = 0.005  # feedback that comes late_s later, after its window
    late_s: float = 3.0
    tool_share: float = 0.2  # of the answers are used by a tool that reports whether it worked
    implicit_share: float = 0.15  # of the answers are copied or asked for again
    known_share: float = 0.7  # sessions of a user whom the host knows
    population: int = 4_000


@dataclass(slots=True)
class Tally:
    """What the users have done so far."""

    decisions: int = 0
    feedback: int = 0


@dataclass(order=True, slots=True)
class _Due:
    """Something that a user does at a moment; the number breaks ties in the order of planning."""

    at_s: float
    number: int
    act: Callable[[float], None] = field(compare=False)


class Users:
    """Plays sessions until so many decisions were made, then hands in the feedback that is still due."""

    def __init__(self, router: Router, new: Prompts, old: Prompts, habits: UserHabits, seed: int) -> None:
        self._router = router
        self._pools = (new, old)
        self._habits = habits
        self._rng = Random(seed)  # noqa: S311 - simulated users, no secret
        self._due: list[_Due] = []
        self._number = count()
        self._planned = 0
        self.tally = Tally()

    def run(self, decisions: int, stop: Event) -> None:
        """Plays in real time; a slow machine gets its traffic later, not faster."""
        self._plan(monotonic(), lambda at_s: self._start_session(at_s, decisions))
        while self._due and not stop.is_set():
            wait_s = self._due[0].at_s - monotonic()
            if wait_s > 0:
                stop.wait(min(wait_s, 0.5))
                continue
            due = heapq.heappop(self._due)
            due.act(due.at_s)

    def _plan(self, at_s: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._due, _Due(at_s, next(self._number), act))

    def _start_session(self, at_s: float, decisions: int) -> None:
        turns = min(self._rng.randint(1, self._habits.longest_session), decisions - self._planned)
        self._planned += turns
        session = f"s{self._rng.getrandbits(64):016x}"
        known = self._rng.random() < self._habits.known_share
        user = f"user-{self._rng.randrange(self._habits.population)}" if known else None
        self._plan(at_s, lambda turn_s: self._ask(turn_s, session, user, 0, turns))
        if self._planned < decisions:
            mean = (1 + self._habits.longest_session) / 2
            gap_s = self._rng.expovariate(self._habits.rate_per_s / mean)
            self._plan(max(at_s + gap_s, monotonic() - 1), lambda next_s: self._start_session(next_s, decisions))

    def _ask(self, at_s: float, session: str, user: str | None, turn: int, turns: int) -> None:
        pool = self._pools[self._rng.random() >= self._habits.new_share]
        row = self._rng.randrange(len(pool))
        with self._router.prompt(session, user=user, group=str(pool.groups[row]), turn=turn) as prompt:
            choice = prompt.decide(pool.features[row])
        self.tally.decisions += 1
        good = self._rng.random() < pool.success[row, choice.action[0]]
        if self._rng.random() >= self._habits.silent_share:
            self._plan_feedback(at_s, choice.decision_id, session, good=good)
        if turn + 1 < turns:
            pause_s = self._rng.expovariate(1 / self._habits.pause_s)
            self._plan(at_s + pause_s, lambda next_s: self._ask(next_s, session, user, turn + 1, turns))

    def _plan_feedback(self, at_s: float, decision: DecisionId, session: str, *, good: bool) -> None:
        habits, rng = self._habits, self._rng
        late_s = habits.late_s if rng.random() < habits.late_share else 0.0
        said_s = at_s + late_s + rng.expovariate(1 / habits.delay_s)
        thumb = 1 if good != (rng.random() < habits.wrong_share) else -1
        source = f"user of {session}"
        self._plan(said_s, lambda _: self._say(decision, session, source=source, thumb=thumb))
        if rng.random() < habits.tool_share:
            result = ToolResult("compiler", good)
            self._plan(said_s, lambda _: self._say(decision, session, source="compiler", tool=result))
        if rng.random() < habits.implicit_share:
            sign = Implicit(ImplicitKind.COPY if good else ImplicitKind.RETRY, 0.8)
            self._plan(said_s, lambda _: self._say(decision, session, source="page", implicit=sign))

    def _say(
        self,
        decision: DecisionId,
        session: str,
        *,
        source: str,
        thumb: int | None = None,
        tool: ToolResult | None = None,
        implicit: Implicit | None = None,
    ) -> None:
        self._router.report(decision, session, source=source, thumb=thumb, tool=tool, implicit=implicit)
        self.tally.feedback += 1
