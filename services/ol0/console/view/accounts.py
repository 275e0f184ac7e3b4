"""Where every record went: the store's sums, what was dropped and why, dead letters, and what helps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ol0.console.observing.letters import Letters
from ol0.console.view.words import since
from ol0.operator.text import percent
from ol0.replay.counters import Counters, DecisionDrop, FeedbackDrop
from ol0.replay.stats import StoreStats

MIB: Final = 1024**2

DECISION_REMEDIES: Final[Mapping[DecisionDrop, tuple[str, str]]] = {
    DecisionDrop.LATE: (
        "came after its window had closed",
        "Look for hosts that send late or whose clocks are behind, or raise streaming.allowed_lateness_s.",
    ),
    DecisionDrop.DUPLICATE: (
        "a copy of a decision whose window is open",
        "None: a host sent it again after a lost reply. Many of them: look at the host's network.",
    ),
    DecisionDrop.FUTURE: (
        "claims a time well after the broker had it",
        "Set that host's clock; the feedback service's log names the share and the distance.",
    ),
    DecisionDrop.FORGOTTEN: ("of a user who was forgotten", "None: that is what `ol0 forget` is for."),
    DecisionDrop.OVERSIZED: (
        "no topic would take its outcome",
        "Upgrade the host's SDK: this version does not send fields that are so long.",
    ),
}
FEEDBACK_REMEDIES: Final[Mapping[FeedbackDrop, tuple[str, str]]] = {
    FeedbackDrop.LATE: (
        "said after the end of the reward window",
        "Raise streaming.reward_window_s if people need longer; outcomes then come later.",
    ),
    FeedbackDrop.EARLY: (
        "said before its decision, by more than the skew",
        "Set the clock of its sender; streaming.early_skew_s is what is allowed.",
    ),
    FeedbackDrop.DUPLICATE: ("another record with this id says the same", "None: senders may send again."),
    FeedbackDrop.CONFLICTING: (
        "another record with this id says something else",
        "Let its sender make a new id for each statement.",
    ),
    FeedbackDrop.SUPERSEDED: ("a later one of the same source counts", "None: people change their minds."),
    FeedbackDrop.ORPHAN: (
        "its decision never came, or its window had closed",
        "Compare with the decisions of its host: `router.account` counts what was lost on the way.",
    ),
    FeedbackDrop.FUTURE: ("claims a time well after the broker had it", "Set the clock of its sender."),
    FeedbackDrop.EXCESS: (
        "its decision has 256 records already",
        "One sender floods; `ol0 replay exclude` removes what was learnt from it.",
    ),
    FeedbackDrop.WEAK: (
        "an implicit sign below streaming.min_confidence",
        "None, or lower streaming.min_confidence.",
    ),
    FeedbackDrop.FORGOTTEN: ("of a user who was forgotten", "None: that is what `ol0 forget` is for."),
    FeedbackDrop.OVERSIZED: ("its decision was too large", "Upgrade the host's SDK."),
}


@dataclass(frozen=True, slots=True)
class DropRow:
    """Records that count for nothing, by reason: how many, of how many, what that means, and what helps."""

    what: str
    reason: str
    count: str
    share: str
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class LetterRow:
    """Dead letters of one kind."""

    topic: str
    error: str
    count: str
    newest: str
    text: str
    command: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Sum:
    """A total and its parts, each a number and a name."""

    total: str
    name: str
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Store:
    """What the store holds, and what does not add up."""

    sums: tuple[Sum, ...]
    ring: str
    memory: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Accounts:
    """All of it. ``letters`` None: not read yet. ``more_letters``: there are more than were looked at."""

    store: Store | None
    drops: tuple[DropRow, ...]
    letters: tuple[LetterRow, ...] | None
    more_letters: bool


def accounts(stats: StoreStats | None, letters: Letters | None, clock_ms: int) -> Accounts:
    """The tables."""
    rows = None if letters is None else tuple(_letters(letters, clock_ms))
    more = letters is not None and not letters.is_whole
    if stats is None:
        return Accounts(None, (), rows, more)
    return Accounts(_store(stats), tuple(_drops(stats.counters)), rows, more)


def _letters(letters: Letters, clock_ms: int) -> Iterator[LetterRow]:
    for it in letters.kinds:
        newest = since(it.newest_ms, clock_ms)
        yield LetterRow(it.topic, it.error, f"{it.count:,}", newest, it.text, it.command, it.remedy)


def _drops(counters: Counters) -> Iterator[DropRow]:
    for decision_drop, (meaning, remedy) in DECISION_REMEDIES.items():
        if count := counters.decisions_dropped[decision_drop]:
            yield _drop("decisions", decision_drop, count, counters.decisions, meaning, remedy)
    for feedback_drop, (meaning, remedy) in FEEDBACK_REMEDIES.items():
        if count := counters.feedback_dropped[feedback_drop]:
            yield _drop("feedback", feedback_drop, count, counters.feedback, meaning, remedy)


def _drop(what: str, reason: str, count: int, total: int, meaning: str, remedy: str) -> DropRow:
    return DropRow(what, reason, f"{count:,}", percent(count / total if total else None), meaning, remedy)


def _store(stats: StoreStats) -> Store:
    counters = stats.counters
    sums = (
        _sum("decisions", counters.decisions, outcomes=counters.outcomes, open=counters.open, **_dropped(counters)),
        _sum(
            "outcomes",
            counters.outcomes,
            examples=counters.examples,
            **{"without a reward": counters.null_rewards, "beyond a user's limit": counters.capped},
        ),
        _sum(
            "feedback",
            counters.feedback,
            used=counters.feedback_used,
            waiting=counters.waiting,
            dropped=sum(counters.feedback_dropped.values()),
        ),
    )
    ring = f"{stats.filled:,} of {stats.capacity:,} examples, {stats.anchors:,} anchors"
    return Store(sums, ring, f"{stats.memory_bytes / MIB:,.1f} MiB", tuple(_problems(counters)))


def _dropped(counters: Counters) -> dict[str, int]:
    return {"dropped": sum(counters.decisions_dropped.values())}


def _sum(name: str, total: int, **parts: int) -> Sum:
    return Sum(f"{total:,}", name, tuple((f"{count:,}", part) for part, count in parts.items() if count))


def _problems(counters: Counters) -> Iterator[str]:
    yield from (f"does not add up: {problem}" for problem in counters.imbalances())
    if counters.expired or counters.cut:
        yield (
            f"holes in the logs: {counters.expired:,} offsets expired before they were read, {counters.cut:,} were "
            "lost after they were read"
        )
