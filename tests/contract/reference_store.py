"""The join straight from its definition: whole logs in, everything that must come out. No offsets, no batches."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ol0.config import StreamingConfig
from ol0.feedback.handler import FUTURE_MS
from ol0.feedback.reward import Reward, reward
from ol0.feedback.signals import feedback_entry
from ol0.records import Decision, ImplicitFeedback, Tick, ToolFeedback, UserFeedback
from ol0.replay.entries import FeedbackEntry, decision_key
from ol0.streaming.sink import Partition, SourceRecord


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


def reference(logs: Mapping[Partition, Sequence[SourceRecord]], config: StreamingConfig) -> Expected:
    window, skew = round(config.reward_window_s * 1000), round(config.early_skew_s * 1000)
    lateness = round(config.allowed_lateness_s * 1000)
    decisions: dict[bytes, Decision] = {}
    said: dict[tuple[bytes, bytes], FeedbackEntry] = {}
    watermarks = []
    for log in logs.values():
        watermark = 0
        for source in log:
            record = source.record
            assert isinstance(record, Decision | UserFeedback | ToolFeedback | ImplicitFeedback | Tick)
            time = source.append_time_ms if record.time_ms is None else record.time_ms
            if time <= source.append_time_ms + FUTURE_MS and not isinstance(record, Tick):
                key = decision_key(record.decision_id)
                weak = isinstance(record, ImplicitFeedback) and record.strength < config.min_confidence
                if not isinstance(record, Decision) and not weak:
                    packed = feedback_entry(record, max(time, watermark)).pack()
                    (entry,) = FeedbackEntry.unpack_pile(packed)  # its value is a float32
                    copies = [entry, *filter(None, [said.get((key, entry.feedback_id))])]
                    said[key, entry.feedback_id] = min(copies, key=lambda copy: (copy.effective_ms, copy.pack()))
                elif isinstance(record, Decision) and time + window > watermark:
                    decisions.setdefault(key, record)
            watermark = max(watermark, min(time, source.append_time_ms) - lateness)
        watermarks.append(watermark)
    closed, still_open = [], []
    for deadline, key in sorted((decision.time_ms + window, key) for key, decision in decisions.items()):
        decision = decisions[key]
        if deadline > min(watermarks):
            still_open.append(decision)
        else:
            entries = [
                entry
                for (target, _), entry in said.items()
                if target == key and entry.time_ms >= decision.time_ms - skew and entry.effective_ms < deadline
            ]
            judged = reward(entries, decision.action, config.reward_weights, config.missing_reward)
            closed.append(Closed(decision, deadline, judged))
    return Expected(closed, still_open, config.user_rate_limit)
