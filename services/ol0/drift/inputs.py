"""Do prompts still look like the prompts that the base was made for, or has the space itself changed?"""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Self

import numpy as np
from typing_extensions import TypedDict

from ol0.drift.space import SCALE, Space, Strange
from ol0.records import Decision
from ol0.statistics.onset import Onset, OnsetSnapshot
from ol0.statistics.spending import candidate_alpha

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


class InputSnapshot(TypedDict):
    """The whole state of an ``InputWatch`` in plain JSON values."""

    limit: float | None
    first: list[int]
    turns: int
    onset: OnsetSnapshot | None
    since_ms: int
    strange: dict[str, int]
    session: str
    before: str
    still: str
    said_ms: int
    said: Finding | None


class InputWatch:
    """Looks at a sample of the decisions and says when inputs leave the anchors, and when they are back.

    The first prompts say how many are strange as long as nothing has happened: new kinds may be. When more than half
    are, and a quarter more than then, for certain and from whatever moment on, inputs have left; from then on the watch
    asks when they are back. Each of these tests has its own part of ``ALPHA``.

    Args:
        space: of the anchors.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._first = [0, 0]  # prompts among the first ones, and those of them that are strange
        self._turns = 0
        self._onset: Onset | None = None
        self._since_ms = 0
        self._strange = dict.fromkeys(Strange, 0)
        self._session = ""
        self._before = np.full(space.dimension, np.nan, np.float32)
        self._still = np.zeros(space.dimension, np.uint8)
        self._said_ms = 0
        self._said: Finding | None = None

    @property
    def away(self) -> bool:
        """Whether inputs have left the anchors."""
        return self._turns % 2 == 1

    @property
    def level(self) -> float:
        """The share of strange prompts that is not to be exceeded."""
        looked_at, strange = self._first
        return max(MOST_STRANGE, strange / max(looked_at, 1) + RISE)

    def take(self, decision: Decision) -> Finding | None:
        """Looks at a decision. One more of the session before it would say little, and is left out."""
        features = decision.feature_vector()
        if decision.session_id == self._session or features.shape != self._before.shape:
            return None
        self._session = decision.session_id
        still = np.minimum(self._still, LONGEST_STILL - 1) + 1
        self._still = np.where(features == self._before, still, 0).astype(np.uint8)
        self._before = features
        strange = self.space.strange(features, self._still)
        if self._first[0] < FIRST:
            return self._take_first(strange, decision.time_ms)
        if self._onset is None:  # nothing can be told
            return None
        self._count(self._onset, strange, decision.time_ms)
        return self._finding(self._onset, decision.time_ms)

    def _take_first(self, strange: Strange | None, time_ms: int) -> Finding | None:
        """One of those that say what is usual."""
        if not self._first[0]:
            self._since_ms = time_ms
        self._first = [self._first[0] + 1, self._first[1] + (strange is not None)]
        if strange is not None:
            self._strange[strange] += 1
        if self._first[0] < FIRST:
            return None
        if self.level < 1 and self._first[1] <= MOST_AT_FIRST * FIRST:
            self._onset = Onset(self.level)
            return None
        return self._found(Turn.FROM_THE_START, FIRST)

    def _count(self, onset: Onset, strange: Strange | None, time_ms: int) -> None:
        onset.update((strange is None) is self.away)
        if onset.since == onset.count - 1:
            self._since_ms, self._strange = time_ms, dict.fromkeys(Strange, 0)
        # Hosts' clocks differ: of those who saw it, the earliest is right or on the safe side.
        self._since_ms = min(self._since_ms, time_ms)
        if strange is not None:
            self._strange[strange] += 1

    def _finding(self, onset: Onset, time_ms: int) -> Finding | None:
        if onset.rejects(candidate_alpha(self._turns + 1, ALPHA)):
            self._said = self._found(Turn.BACK if self.away else Turn.AWAY, onset.count - onset.since)
            self._turns += 1
            self._onset = Onset(1 - self.level if self.away else self.level)
        elif self._said is None or not self.away or time_ms < self._said_ms + AGAIN_MS:
            return None
        self._said_ms = time_ms
        return self._said

    def _found(self, turn: Turn, looked_at: int) -> Finding:
        share = sum(self._strange.values()) / looked_at
        since = datetime.fromtimestamp(self._since_ms / 1000, UTC).isoformat(timespec="seconds")
        flaw = FLAWS[max(Strange, key=self._strange.__getitem__)].format(anchors=self.space.anchors, scale=SCALE)
        text = WORDS[turn].format(seen=f"of {looked_at} prompts since {since}, {share:.0%}", flaw=flaw)
        return Finding(turn, share, self.level, looked_at, self._since_ms, text)

    def snapshot(self) -> InputSnapshot:
        """The state in plain JSON values; some 3 kB at 384 features."""
        return InputSnapshot(
            limit=self.space.limit,
            first=list(self._first),
            turns=self._turns,
            onset=None if self._onset is None else self._onset.snapshot(),
            since_ms=self._since_ms,
            strange={kind.value: count for kind, count in self._strange.items()},
            session=self._session,
            before=b64encode(self._before.tobytes()).decode(),
            still=b64encode(self._still.tobytes()).decode(),
            said_ms=self._said_ms,
            said=self._said,
        )

    @classmethod
    def from_snapshot(cls, snapshot: InputSnapshot, space: Space) -> Self:
        """The watch that ``snapshot`` was taken from; with other anchors than then, a new one.

        Raises:
            ValueError: the snapshot does not fit this version.
        """
        watch = cls(space)
        before = np.frombuffer(b64decode(snapshot["before"]), np.float32)
        if snapshot["limit"] != space.limit or before.shape != watch._before.shape:
            return watch
        watch._before, watch._still = before, np.frombuffer(b64decode(snapshot["still"]), np.uint8)
        watch._first, watch._session = list(snapshot["first"]), snapshot["session"]
        watch._turns, watch._since_ms, watch._said_ms = snapshot["turns"], snapshot["since_ms"], snapshot["said_ms"]
        watch._strange = {Strange(kind): count for kind, count in snapshot["strange"].items()}
        onset, watch._said = snapshot["onset"], snapshot["said"]
        if onset is not None:
            watch._onset = Onset.from_snapshot(onset, 1 - watch.level if watch.away else watch.level)
        return watch
