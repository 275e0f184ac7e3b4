"""The join straight from its definition: whole logs in, everything that must come out. No offsets, no batches."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ol0.config import StreamingConfig
from ol0.feedback.handler import FUTURE_MS
from ol0.feedback.reward import Reward, reward
from ol0.feedback.signals import packed_entry
from ol0.kafka.ports import SourceRecord
from ol0.records import Decision, ImplicitFeedback, Partition, Tick, ToolFeedback, UserFeedback
from ol0.replay.layout import FeedbackEntry, decision_key
from ol0.wire.payloads import action_code

Said = tuple[bytes, FeedbackEntry]
"""Feedback that counts, with the key of the decision that it is about."""


@dataclass(frozen=True)
class Closed:
    decision: Decision
    deadline_ms: int
    reward: Reward


@dataclass(frozen=True)
class Expected:
    """Windows that closed, in order, and decisions whose windows are open."""

    closed: list[Closed]
    open: list[Decision]
    user_limit: int | None

    @property
    def used(self) -> int:
        return sum(closed.reward.used for closed in self.closed)

    def without(self, users: Collection[str], but: Collection[str]) -> "Expected":
        """The same where these users were forgotten, ``but`` for some decisions that had closed before."""
        kept = [it for it in self.closed if it.decision.user not in users or it.decision.decision_id in but]
        return replace(self, closed=kept, open=[decision for decision in self.open if decision.user not in users])

    def examples(self) -> list[Closed]:
        """Those with a reward, but for what is too much of one user in an hour."""
        of_hour: Counter[tuple[int, str | None]] = Counter()
        examples = []
        for closed in self.closed:
            hour_of_user = closed.deadline_ms // 3_600_000, closed.decision.user
            if closed.reward.value is None:
                continue
            of_hour[hour_of_user] += 1
            if None in (closed.decision.user, self.user_limit) or of_hour[hour_of_user] <= (self.user_limit or 0):
                examples.append(closed)
        return examples


class Log:
    """One partition from its beginning: what of it counts, and how far its time has come."""

    def __init__(self, config: StreamingConfig) -> None:
        self._window, self._config = round(config.reward_window_s * 1000), config
        self._lateness = round(config.allowed_lateness_s * 1000)
        self.watermark_ms = 0

    def read(self, sources: Iterable[SourceRecord]) -> Iterator[Decision | Said]:
        for source in sources:
            record, watermark = source.record, self.watermark_ms
            assert isinstance(record, Decision | UserFeedback | ToolFeedback | ImplicitFeedback | Tick)
            time = source.append_time_ms if record.time_ms is None else record.time_ms
            if time <= source.append_time_ms + FUTURE_MS and not isinstance(record, Tick):
                weak = isinstance(record, ImplicitFeedback) and record.strength < self._config.min_confidence
                if not isinstance(record, Decision) and not weak:
                    (entry,) = FeedbackEntry.unpack_pile(packed_entry(record, max(time, watermark)))
                    yield decision_key(record.decision_id), entry
                elif isinstance(record, Decision) and time + self._window > watermark:
                    yield record
            if source.is_stamped:  # else both times are its writer's
                self.watermark_ms = max(watermark, min(time, source.append_time_ms) - self._lateness)


class Windows:
    """Everything that counts, by decision, until the windows close."""

    def __init__(self, config: StreamingConfig) -> None:
        self._config = config
        self._decisions: dict[bytes, Decision] = {}
        self._said: dict[bytes, dict[bytes, FeedbackEntry]] = {}

    def take(self, it: Decision | Said) -> None:
        if isinstance(it, Decision):
            self._decisions.setdefault(decision_key(it.decision_id), it)
            return
        key, entry = it
        pile = self._said.setdefault(key, {})
        copies = [entry, *filter(None, [pile.get(entry.feedback_id)])]
        pile[entry.feedback_id] = min(copies, key=lambda copy: (copy.effective_ms, copy.pack()))

    def close(self, watermark_ms: int) -> Expected:
        config = self._config
        window, skew = round(config.reward_window_s * 1000), round(config.early_skew_s * 1000)
        closed, still_open = [], []
        for deadline, key in sorted((it.time_ms + window, key) for key, it in self._decisions.items()):
            decision = self._decisions[key]
            if deadline > watermark_ms:
                still_open.append(decision)
            else:
                entries = [
                    entry
                    for entry in self._said.get(key, {}).values()
                    if entry.time_ms >= decision.time_ms - skew and entry.effective_ms < deadline
                ]
                judged = reward(entries, action_code(decision.action), config.reward_weights, config.missing_reward)
                closed.append(Closed(decision, deadline, judged))
        return Expected(closed, still_open, config.user_rate_limit)


def reference(logs: Mapping[Partition, Sequence[SourceRecord]], config: StreamingConfig) -> Expected:
    windows, watermarks = Windows(config), []
    for sources in logs.values():
        log = Log(config)
        for it in log.read(sources):
            windows.take(it)
        watermarks.append(log.watermark_ms)
    return windows.close(min(watermarks))
