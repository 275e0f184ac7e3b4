"""What the commands around the store print."""

from collections.abc import Mapping
from types import MappingProxyType

from rich.console import Group, RenderableType
from rich.table import Table

from ol0.operator.store.forget import Forgotten
from ol0.operator.store.rebuild import RebuildPlan
from ol0.operator.text import moment
from ol0.replay.counters import DecisionDrop, FeedbackDrop
from ol0.replay.stats import StoreStats
from ol0.wire.topics import DAY_MS

MIB = 1024**2
NO_HOLDUPS: Mapping[str, str] = MappingProxyType({})


def stats_page(stats: StoreStats, holdups: Mapping[str, str] = NO_HOLDUPS) -> RenderableType:
    """``ol0 replay stats``; ``holdups``: why partitions that hold the watermark back do so, by name."""
    reasons = [f"{name}: {reason}" for name, reason in holdups.items() if reason]
    return Group(_figures(stats), "", _partitions(stats), *reasons)


def rebuild_page(plan: RebuildPlan) -> str:
    """``ol0 replay rebuild``: what the logs still reach, and what they do not bring back."""
    lines = ["the store exists and would be replaced" if plan.exists else "there is no store"]
    for partition, (first, following) in plan.logs.items():
        lost = f"the {first:,} before are gone" if first else "the whole log"
        lines.append(f"  {partition}: offsets {first:,} to {following:,}, {lost}")
    if plan.published is None:
        gone = ": all have expired" if plan.next_outcome else " so far"
        lines.append(f"no outcome is published{gone}")
    else:
        lines.append(
            f"outcomes are published up to number {plan.published.number:,}, of the window that closed at "
            f"{moment(plan.published.deadline_ms)}: windows up to it fill the ring again, and are not published again"
        )
    lines.append(f"the next outcome gets number {plan.next_outcome:,}")
    lines.append("not on the logs: priorities (start over), exclusions (repeat them), anchors (`ol0 warmup`)")
    return "\n".join(lines)


def forget_page(forgotten: Forgotten, now_ms: int) -> str:
    """``ol0 forget``."""
    lines = [
        f"forgotten: {forgotten.pseudonym}",
        f"removed now: {forgotten.windows:,} open windows, {forgotten.examples:,} examples",
        "records on the logs are dropped if they are read again",
        "copies in Kafka are no longer used for learning and expire on their own:",
    ]
    for topic, days in forgotten.retention_days.items():
        expiry = moment(now_ms + round(days * DAY_MS))
        lines.append(f"  {topic} (and its dead letters): {days:g} days after they were written, the last at {expiry}")
    lines.append("Kafka deletes whole segments: the active one (segment.ms) is deleted later")
    return "\n".join(lines)


def _figures(stats: StoreStats) -> Table:
    counters = stats.counters
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    memory = f"{_size(stats.memory_bytes)}: ring {_size(stats.ring_bytes)}, payloads {_size(stats.payload_bytes)}"
    made = {
        "examples": counters.examples,
        "without a reward": counters.null_rewards,
        "beyond a user's limit": counters.capped,
    }
    for name, text in (
        ("store", stats.incarnation),
        ("decisions", _sum(counters.decisions, counters.decisions_dropped, outcomes=counters.outcomes)),
        ("open windows", f"{counters.open:,} of {stats.max_open:,} at most"),
        ("outcomes", _sum(counters.outcomes, {}, **made)),
        ("feedback", _sum(counters.feedback, counters.feedback_dropped, used=counters.feedback_used)),
        ("waiting feedback", f"{counters.waiting:,}"),
        ("outbox", f"{stats.outbox:,} commits"),
        (
            "ring",
            f"{stats.filled:,} of {stats.capacity:,}; {counters.evicted:,} evicted, {counters.excluded:,} excluded",
        ),
        ("priorities", "none" if stats.priorities is None else _spread(stats.priorities)),
        ("anchors", f"{stats.anchors:,}"),
        ("memory", memory),
    ):
        table.add_row(name, text)
    if counters.expired or counters.cut:
        lost = f"{counters.expired:,} offsets expired before they were read; {counters.cut:,} lost after they were read"
        table.add_row("holes in the logs", lost)
    for problem in counters.imbalances():
        table.add_row("does not add up", problem)
    return table


def _partitions(stats: StoreStats) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("partition", overflow="fold")  # cut off, the names of two would look the same
    for column in ("next offset", "epoch", "watermark", ""):
        table.add_column(column, no_wrap=True)
    for partition in stats.partitions:
        ahead_s = (partition.watermark_ms - stats.watermark_ms) / 1000
        note = "holds the watermark back" if partition.name in stats.holding_back else f"{ahead_s:,.1f} s ahead"
        place = (f"{partition.next_offset:,}", f"{partition.epoch:,}", moment(partition.watermark_ms))
        table.add_row(partition.name, *place, note)
    return table


def _sum(total: int, dropped: Mapping[DecisionDrop, int] | Mapping[FeedbackDrop, int], **parts: int) -> str:
    shares = [*parts.items(), *((f"dropped ({reason})", count) for reason, count in dropped.items() if count)]
    return f"{total:,}: " + ", ".join(f"{count:,} {name}" for name, count in shares)


def _size(count: int) -> str:
    return f"{count / MIB:.1f} MiB" if count >= MIB else f"{count / 1024:.1f} KiB"


def _spread(priorities: tuple[float, float, float]) -> str:
    least, median, largest = priorities
    return f"{least:.4g} least, {median:.4g} median, {largest:.4g} largest"
