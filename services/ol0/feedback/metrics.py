"""What the store of a lineage says of it, as metrics."""

from collections.abc import Callable, Iterator

from ol0.observability import metrics
from ol0.observability.metrics import Figure
from ol0.replay.stats import StoreStats


def store_figures(read: Callable[[], StoreStats], now_ms: Callable[[], int]) -> Iterator[Figure]:
    """Figures of one moment.

    Args:
        read: looks at the store. May raise StoreError.
        now_ms: the wall clock.
    """
    stats = read()
    counters = stats.counters
    yield Figure(metrics.DECISIONS, counters.decisions)
    yield from (Figure(metrics.DECISIONS_DROPPED, n, (reason,)) for reason, n in counters.decisions_dropped.items())
    yield Figure(metrics.OUTCOMES, counters.outcomes)
    yield Figure(metrics.EXAMPLES, counters.examples)
    yield Figure(metrics.UNREWARDED, counters.null_rewards)
    yield Figure(metrics.FEEDBACK, counters.feedback)
    yield Figure(metrics.FEEDBACK_USED, counters.feedback_used)
    yield from (Figure(metrics.FEEDBACK_DROPPED, n, (reason,)) for reason, n in counters.feedback_dropped.items())
    yield Figure(metrics.OPEN, counters.open)
    yield Figure(metrics.MAX_OPEN, stats.max_open)
    yield Figure(metrics.RING, stats.filled)
    yield Figure(metrics.RING_SIZE, stats.capacity)
    yield Figure(metrics.OUTBOX, stats.outbox)
    yield Figure(metrics.STORE_BYTES, stats.memory_bytes)
    if not counters.decisions:
        return  # no record has said what time it is
    now = now_ms()
    yield Figure(metrics.WATERMARK_AGE, (now - stats.watermark_ms) / 1000)
    yield from (Figure(metrics.PARTITION_AGE, (now - it.watermark_ms) / 1000, (it.name,)) for it in stats.partitions)
