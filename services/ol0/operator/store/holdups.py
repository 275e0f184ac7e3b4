"""Whom event time waits for, and why: what the store says of its partitions, held against the broker."""

from typing import Final

from ol0.config import Settings
from ol0.errors import StreamError
from ol0.feedback.service import GROUP
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs.holdups import AskedEnds, readers_of, reason
from ol0.kafka.logs.questions import Asker
from ol0.records import Partition
from ol0.replay.stats import StoreStats

APART_MS: Final = 5_000
"""Ticks come every second: what is closer together is not held up."""


def find_holdups(settings: Settings, stats: StoreStats) -> dict[str, str]:
    """Why partitions hold the watermark back, by name; empty where there is nothing to be seen."""
    furthest_ms = max((it.watermark_ms for it in stats.partitions), default=0)
    if furthest_ms - stats.watermark_ms < APART_MS:
        return {}
    offsets = {it.name: it.next_offset for it in stats.partitions if it.name in stats.holding_back}
    places = {name: Partition.parse(name) for name in offsets}
    lineage = Lineage.of(settings.kafka)
    asker = Asker(lineage.clients.admin)
    try:
        read = readers_of(asker.admin, f"{lineage.topics.prefix}.{GROUP}")
        ends = AskedEnds(asker, places.values()).ends()
    except StreamError as error:
        return dict.fromkeys(offsets, f"reason unknown: {error}")
    return {name: reason(offsets[name], ends[it], is_read=it in read) for name, it in places.items()}
