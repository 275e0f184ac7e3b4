"""What the feedback service does with a record. Pure: no Kafka, no Redis, no clock."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import le, lt
from typing import Final

from ol0.config import StreamingConfig
from ol0.errors import RangeError
from ol0.feedback.outbox import pack_message
from ol0.feedback.reward import Reward, reward
from ol0.feedback.signals import packed_entry
from ol0.kafka.messages import ENVELOPE_BYTES
from ol0.kafka.ports import SourceRecord
from ol0.records import (
    FEATURE_BYTES,
    Action,
    Decision,
    Feedback,
    ImplicitFeedback,
    Record,
    Tick,
    ToolFeedback,
    UserFeedback,
)
from ol0.replay.counters import DECISIONS_DROPPED, FEEDBACK_DROPPED, DecisionDrop, FeedbackDrop
from ol0.replay.layout import LATEST_MS, SCORE_DIGITS, FeedbackEntry, decision_key, user_key
from ol0.replay.protocol import Arrivals, ClosedWindow, DueWindow
from ol0.wire.payloads import Head, Payloads, largest_sizes
from ol0.wire.topics import KAFKA_MESSAGE_BYTES

LATE: Final = FEEDBACK_DROPPED[FeedbackDrop.LATE]
EARLY: Final = FEEDBACK_DROPPED[FeedbackDrop.EARLY]
USED: Final = "feedback_used"
SUPERSEDED: Final = FEEDBACK_DROPPED[FeedbackDrop.SUPERSEDED]
DEADLINE: Final = f"%0{SCORE_DIGITS}d"  # in a third of the time of the f-string that says the same

# How far a host's clock may run ahead of the broker's. Beyond it a window would stay open for as long as the clock is
# wrong, and hold its memory.
FUTURE_MS: Final = 60_000
OUTCOME_TAIL_BYTES: Final = 128
"""At most, of an outcome behind what it has from its decision: header, number, reward, parts, end."""


@dataclass(frozen=True, slots=True)
class Closing:
    """The result of closing due windows, and of the feedback about them.

    Attributes:
        windows: in the order in which they were listed.
        counts: of feedback, by counter.
        forgotten: fields of windows whose users were forgotten after the decisions had come in.
        oversized: fields of windows whose outcomes no topic would take.
    """

    windows: Sequence[ClosedWindow]
    counts: Mapping[str, int]
    forgotten: Sequence[bytes]
    oversized: Sequence[bytes] = ()


@dataclass(slots=True)
class _Draft:
    """Arrivals in the making."""

    watermark_ms: int
    decisions: int = 0
    feedback: int = 0
    decision_keys: list[bytes] = field(default_factory=list)
    deadlines: list[str] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    targets: list[bytes] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class FeedbackHandler:
    """Decides which records count, and what a closed window comes to."""

    def __init__(
        self,
        config: StreamingConfig,
        dimension: int,
        action_sizes: Action,
        payloads: Payloads,
        largest_outcome: int = KAFKA_MESSAGE_BYTES - ENVELOPE_BYTES,
    ) -> None:
        """Makes a handler.

        Args:
            config: windows, lateness, weights.
            dimension: numbers in a decision's features.
            action_sizes: choices of each part of an action, in the order of the checkpoint's parts.
            payloads: how the store keeps decisions.
            largest_outcome: bytes of key and value that their topic takes.
        """
        self._largest_outcome = largest_outcome
        self._config = config
        self._dimension = dimension
        self._features_bytes = {dtype: dimension * size for dtype, size in FEATURE_BYTES.items()}
        self._action_sizes = action_sizes
        self._tells_actions_apart = all(map(le, action_sizes, largest_sizes(len(action_sizes))))
        self._payloads = payloads
        self._window_ms = round(config.reward_window_s * 1000)
        self._lateness_ms = round(config.allowed_lateness_s * 1000)
        self._skew_ms = round(config.early_skew_s * 1000)
        self._latest_ms = LATEST_MS - self._window_ms - self._skew_ms
        self._wall_clock = config.clock == "wall"
        self._forgotten: set[bytes] = set()

    def forget(self, users: Iterable[str]) -> None:
        """From now on, decisions of these users are dropped: when they arrive, and when their windows close.

        Args:
            users: pseudonyms.
        """
        self._forgotten.update(map(user_key, users))

    def is_forgotten(self, payload: bytes) -> bool:
        """Whether a payload is the decision of a user who was forgotten."""
        return self._payloads.head(payload).user in self._forgotten

    def check(self, record: Record) -> None:
        """Holds a well-formed record against this lineage. For the consume loop, before the sink gets it.

        Raises:
            RangeError: wrong number of features or parts, or an action or a time that cannot be.
        """
        match record:
            case Decision():
                self._check_features(record)
                self._check_action("action", record.action)
                self._check_time(record.time_ms)
            case UserFeedback():
                if record.correction is not None:
                    self._check_correction(record.correction)
                self._check_time(record.time_ms)
            case ToolFeedback() | ImplicitFeedback() | Tick():
                self._check_time(record.time_ms or 0)
            case _:
                raise RangeError(f"a {type(record).__name__} among decisions and feedback: the topic carries others")

    def arrivals(self, watermark_ms: int, records: Sequence[SourceRecord]) -> Arrivals:
        """One batch of one partition, as the store takes it in.

        Args:
            watermark_ms: of the partition, before the batch.
            records: in the order of the log; ``check`` has seen them.
        """
        draft = _Draft(watermark_ms)
        for source in records:
            match source.record:
                case Decision() as record:
                    self._take_decision(draft, record, source)
                    time_ms: int | None = record.time_ms
                case UserFeedback() | ToolFeedback() | ImplicitFeedback() as record:
                    self._take_feedback(draft, record, source.append_time_ms)
                    time_ms = record.time_ms
                case Tick() as record:
                    time_ms = record.time_ms
                case other:
                    raise AssertionError(f"check() has to refuse a {type(other).__name__}")
            # Last: a record is judged by what its partition had seen before it.
            passed_ms = self._watermark(time_ms, source)
            if passed_ms > draft.watermark_ms:  # noqa: PLR1730 - max() takes three times as long
                draft.watermark_ms = passed_ms
        return Arrivals(
            watermark_ms=draft.watermark_ms,
            patience_ms=self._window_ms + self._skew_ms,
            decision_keys=b"".join(draft.decision_keys),
            deadlines="".join(draft.deadlines),
            payloads=draft.payloads,
            targets=b"".join(draft.targets),
            feedback=b"".join(draft.entries),
            counts=draft.counts + Counter(decisions=draft.decisions, feedback=draft.feedback),
        )

    def close(self, windows: Sequence[DueWindow], number: int) -> Closing:
        """What becomes of windows. Those that are published already get no second outcome.

        Args:
            windows: as the store lists them.
            number: of the first outcome.

        Raises:
            ContractError: a window's head cannot be read.
        """
        closed, forgotten, oversized, counts = [], [], [], Counter[str]()
        for window in windows:
            head = self._payloads.head(window.head)
            if head.user in self._forgotten:
                forgotten.append(window.field)
                continue
            if len(head.session) + len(head.opening) > self._largest_outcome - OUTCOME_TAIL_BYTES:
                oversized.append(window.field)
                continue
            judged = self._judge(window, head, counts)
            outcome = b""
            if not window.published:
                value = self._payloads.outcome(head, number, judged.value, judged.parts, window.deadline_ms)
                outcome = pack_message(head.session, value)
                number += 1
            closed.append(ClosedWindow(window.decision_key, judged.value, outcome, head.user))
        return Closing(closed, counts, forgotten, oversized)

    def _judge(self, window: DueWindow, head: Head, counts: Counter[str]) -> Reward:
        """The reward of a window, from the feedback that belongs to it."""
        entries, opens_ms = [], head.time_ms - self._skew_ms
        for entry in FeedbackEntry.unpack_pile(window.feedback):
            if entry.effective_ms >= window.deadline_ms:
                counts[LATE] += 1
            elif entry.time_ms < opens_ms:
                counts[EARLY] += 1
            else:
                entries.append(entry)
        judged = reward(entries, head.taken, self._config.reward_weights, self._config.missing_reward)
        counts[USED] += judged.used
        counts[SUPERSEDED] += judged.superseded
        return judged

    def _take_decision(self, draft: _Draft, decision: Decision, source: SourceRecord) -> None:
        draft.decisions += 1
        deadline_ms, user = decision.time_ms + self._window_ms, user_key(decision.user)
        if deadline_ms <= draft.watermark_ms:
            draft.counts[DECISIONS_DROPPED[DecisionDrop.LATE]] += 1
        elif self._in_future(decision.time_ms, source.append_time_ms):
            draft.counts[DECISIONS_DROPPED[DecisionDrop.FUTURE]] += 1
        elif user in self._forgotten:
            draft.counts[DECISIONS_DROPPED[DecisionDrop.FORGOTTEN]] += 1
        else:
            draft.decision_keys.append(decision_key(decision.decision_id))
            draft.deadlines.append(DEADLINE % deadline_ms)
            draft.payloads.append(self._payloads.pack(decision, user, source.logged))

    def _take_feedback(self, draft: _Draft, feedback: Feedback, append_time_ms: int) -> None:
        draft.feedback += 1
        effective_ms = max(feedback.time_ms, draft.watermark_ms)
        if effective_ms >= feedback.time_ms + self._window_ms + self._skew_ms:
            # No decision can both have come before it, within the skew, and still be open: do not even keep it.
            draft.counts[LATE] += 1
        elif self._in_future(feedback.time_ms, append_time_ms):
            draft.counts[FEEDBACK_DROPPED[FeedbackDrop.FUTURE]] += 1
        elif isinstance(feedback, ImplicitFeedback) and feedback.strength < self._config.min_confidence:
            draft.counts[FEEDBACK_DROPPED[FeedbackDrop.WEAK]] += 1
        else:
            draft.targets.append(decision_key(feedback.decision_id))
            draft.entries.append(packed_entry(feedback, effective_ms))

    def _watermark(self, time_ms: int | None, source: SourceRecord) -> int:
        """What a record alone says of the time that its partition has passed: two clocks have to agree on it."""
        if self._wall_clock:
            if not source.is_stamped:
                return 0  # both times are its writer's
            # Capped by the broker's clock: a host cannot close windows of others by claiming a future time.
            time_ms = source.append_time_ms if time_ms is None else min(time_ms, source.append_time_ms)
        # Where only the harness makes time, a tick without one says nothing.
        return 0 if time_ms is None else time_ms - self._lateness_ms

    def _in_future(self, time_ms: int, append_time_ms: int) -> bool:
        return self._wall_clock and time_ms > append_time_ms + FUTURE_MS

    def _check_features(self, decision: Decision) -> None:
        if len(decision.features) != self._features_bytes[decision.features_dtype]:
            raise RangeError(
                f"decision {decision.decision_id}: {len(decision.features)} bytes of {decision.features_dtype} are not "
                f"the {self._dimension} features of this lineage"
            )

    def _check_action(self, name: str, action: Action) -> None:
        sizes = self._action_sizes
        if len(action) != len(sizes) or not all(map(lt, action, sizes)) or min(action) < 0:
            raise RangeError(
                f"{name} {action}: this lineage has {len(sizes)} parts, of {sizes} choices, counted from 0"
            )

    def _check_correction(self, action: Action) -> None:
        self._check_action("correction", action)
        if not self._tells_actions_apart:
            raise RangeError(
                f"correction {action}: the store cannot tell {self._action_sizes} choices apart; "
                f"{largest_sizes(len(action))} are the most for so many parts"
            )

    def _check_time(self, time_ms: int) -> None:
        if not 0 <= time_ms <= self._latest_ms:
            raise RangeError(f"time {time_ms}: milliseconds since 1970, from 0 to {self._latest_ms}")
