"""Do prompts still look like the prompts that the base was made for, or has the space itself changed?"""

from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator

from ol0.controller.heads import Floats
from ol0.drift.space import SCALE, Space, Strange
from ol0.records import Decision
from ol0.statistics.onset import Onset, OnsetState
from ol0.statistics.spending import candidate_alpha

Bytes: TypeAlias = NDArray[np.uint8]

LONGEST_STILL: Final = 255  # counted in a byte
FIRST: Final = 200  # prompts that say what is usual
MOST_AT_FIRST: Final = 0.7  # of these, the share that may be strange: beyond, a change would not show
RISE: Final = 0.25  # above the share of the first ones
MOST_STRANGE: Final = 0.5  # no mix of kinds that was tried comes near it, every rotation lies above .8
ALPHA: Final = 0.001  # a false alarm, ever
AGAIN_MS: Final = 86_400_000  # an alarm that lasts is repeated once a day

FLAWS: Final = {
    Strange.FAR: "lie no nearer to any of {anchors} anchors than an unrelated vector does",
    Strange.LENGTH: "are more than {scale:g} times longer or shorter than every anchor",
    Strange.STILL: "have coordinates that do not change from prompt to prompt",
}


class Turn(StrEnum):
    """What has turned out."""

    FROM_THE_START = "from the start"
    AWAY = "away"
    BACK = "back"


@dataclass(frozen=True, slots=True)
class Finding:
    """What turned out about the inputs.

    Attributes:
        turn: what.
        share: of the prompts that were looked at since ``since_ms``, those that are strange.
        level: for certain the share is above it (``BACK``: below it).
        looked_at: how many prompts that are.
        since_ms: event time of the first of them.
        text: the same in words, and where to look.
    """

    turn: Turn
    share: float
    level: float
    looked_at: int
    since_ms: int
    text: str


WORDS: Final = {
    Turn.FROM_THE_START: (
        "inputs were never like the anchors: {seen} are strange; most of these {flaw}. A change of the embedder would "
        "go unnoticed. Did the prompts of the canary suite go through the host's embedder, in its version?"
    ),
    Turn.AWAY: (
        "inputs have left the anchors: {seen} are strange; most of these {flaw}. Look at the host's embedder and its "
        "version: what serves was made for other features, and a lift across this moment proves nothing"
    ),
    Turn.BACK: "inputs look like the anchors again: {seen} are strange",
}


def _text(array: Floats | Bytes) -> str:
    return b64encode(array.tobytes()).decode()


def _floats(text: str) -> Floats:
    return np.frombuffer(b64decode(text), np.float32)


def _bytes(text: str) -> Bytes:
    return np.frombuffer(b64decode(text), np.uint8)


def _none() -> dict[Strange, int]:
    return dict.fromkeys(Strange, 0)


@dataclass
class InputState:
    """What an ``InputWatch`` knows; some 3 kB at 384 features."""

    limit: float | None
    before: Annotated[Floats, PlainValidator(_floats), PlainSerializer(_text)]
    still: Annotated[Bytes, PlainValidator(_bytes), PlainSerializer(_text)]
    first: tuple[int, int] = (0, 0)  # prompts among the first ones, and those of them that are strange
    turns: int = 0  # how often inputs left or came back
    onset: OnsetState | None = None  # of the next turn; None where nothing can be told
    since_ms: int = 0
    strange: dict[Strange, int] = field(default_factory=_none)  # since ``since_ms``
    session: str = ""
    said_ms: int = 0
    said: Finding | None = None

    @classmethod
    def of(cls, space: Space) -> Self:
        """Before the first prompt."""
        before = np.full(space.dimension, np.nan, np.float32)
        return cls(space.limit, before, np.zeros(space.dimension, np.uint8))

    def fits(self, space: Space) -> bool:
        """Whether the anchors are the same as then."""
        return self.limit == space.limit and self.before.shape == (space.dimension,)


class InputWatch:
    """Looks at a sample of the decisions and says when inputs leave the anchors, and when they are back.

    The first prompts say how many are strange as long as nothing has happened: new kinds may be. When more than half
    are, and a quarter more than then, for certain and from whatever moment on, inputs have left; from then on the watch
    asks when they are back. Each of these tests has its own part of ``ALPHA``.

    Args:
        space: of the anchors.
        state: to continue from; one of other anchors is dropped.
    """

    def __init__(self, space: Space, state: InputState | None = None) -> None:
        self.space = space
        self.state = state if state is not None and state.fits(space) else InputState.of(space)
        self._onset = None if self.state.onset is None else Onset(self._limit, self.state.onset)

    @property
    def away(self) -> bool:
        """Whether inputs have left the anchors."""
        return self.state.turns % 2 == 1

    @property
    def level(self) -> float:
        """The share of strange prompts that is not to be exceeded."""
        looked_at, strange = self.state.first
        return max(MOST_STRANGE, strange / max(looked_at, 1) + RISE)

    @property
    def _limit(self) -> float:
        """Of the share whose rise is waited for: of strange prompts, or while inputs are away of the others."""
        return 1 - self.level if self.away else self.level

    def take(self, decision: Decision) -> Finding | None:
        """Looks at a decision. One more of the session before it would say little, and is left out."""
        features = decision.feature_vector()
        if decision.session_id == self.state.session or features.shape != self.state.before.shape:
            return None
        self.state.session = decision.session_id
        still = np.minimum(self.state.still, LONGEST_STILL - 1) + 1
        self.state.still = np.where(features == self.state.before, still, 0).astype(np.uint8)
        self.state.before = features
        strange = self.space.strange(features, self.state.still)
        if self.state.first[0] < FIRST:
            return self._take_first(strange, decision.time_ms)
        if self._onset is None:  # nothing can be told
            return None
        self._count(self._onset, strange, decision.time_ms)
        return self._finding(self._onset, decision.time_ms)

    def _take_first(self, strange: Strange | None, time_ms: int) -> Finding | None:
        """One of those that say what is usual."""
        if not self.state.first[0]:
            self.state.since_ms = time_ms
        self.state.first = self.state.first[0] + 1, self.state.first[1] + (strange is not None)
        if strange is not None:
            self.state.strange[strange] += 1
        if self.state.first[0] < FIRST:
            return None
        if self.level < 1 and self.state.first[1] <= MOST_AT_FIRST * FIRST:
            self._wait()
            return None
        return self._found(Turn.FROM_THE_START, FIRST)

    def _wait(self) -> None:
        """For the next turn."""
        self._onset = Onset(self._limit)
        self.state.onset = self._onset.state

    def _count(self, onset: Onset, strange: Strange | None, time_ms: int) -> None:
        onset.update((strange is None) is self.away)
        if onset.state.since == onset.state.count - 1:
            self.state.since_ms, self.state.strange = time_ms, _none()
        # Hosts' clocks differ: of those who saw it, the earliest is right or on the safe side.
        self.state.since_ms = min(self.state.since_ms, time_ms)
        if strange is not None:
            self.state.strange[strange] += 1

    def _finding(self, onset: Onset, time_ms: int) -> Finding | None:
        if onset.rejects(candidate_alpha(self.state.turns + 1, ALPHA)):
            self.state.said = self._found(Turn.BACK if self.away else Turn.AWAY, onset.state.count - onset.state.since)
            self.state.turns += 1
            self._wait()
        elif self.state.said is None or not self.away or time_ms < self.state.said_ms + AGAIN_MS:
            return None
        self.state.said_ms = time_ms
        return self.state.said

    def _found(self, turn: Turn, looked_at: int) -> Finding:
        share = sum(self.state.strange.values()) / looked_at
        since = datetime.fromtimestamp(self.state.since_ms / 1000, UTC).isoformat(timespec="seconds")
        flaw = FLAWS[max(Strange, key=self.state.strange.__getitem__)].format(anchors=self.space.anchors, scale=SCALE)
        text = WORDS[turn].format(seen=f"of {looked_at} prompts since {since}, {share:.0%}", flaw=flaw)
        return Finding(turn, share, self.level, looked_at, self.state.since_ms, text)
