"""What a store holds, of one moment: for people."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from redis import Redis

from ol0.errors import StoreError
from ol0.replay.counters import Counters
from ol0.replay.layout import PRIORITY, RING_ENTRY, SCRIPT_KEYS, Key, store_key
from ol0.replay.script_runner import damaged, store_errors

SAMPLED: Final = 256  # payloads whose mean length is taken for all


@dataclass(frozen=True, slots=True)
class PartitionState:
    """How far one source partition is.

    Attributes:
        name: topic and number.
        epoch: how often it was claimed.
        next_offset: of its next record.
        watermark_ms: event time that it has passed.
    """

    name: str
    epoch: int
    next_offset: int
    watermark_ms: int


@dataclass(frozen=True, slots=True)
class StoreStats:
    """A store, of one moment.

    Attributes:
        incarnation: name of the store; another one means that it was rebuilt.
        counters: of all records.
        capacity: slots of the ring.
        max_open: windows that may be open.
        filled: slots with an example.
        priorities: the least, the median and the largest of them; None where the ring is empty.
        anchors: how many there are.
        outbox: commits whose outcomes are not acknowledged yet.
        partitions: all source partitions, by name.
        memory_bytes: what the server spends on the lineage's keys.
        ring_bytes: of these, priorities and entries, whose size is fixed.
        payload_bytes: of these, the payloads of open windows and examples; the mean of a sample times their number.
    """

    incarnation: str
    counters: Counters
    capacity: int
    max_open: int
    filled: int
    priorities: tuple[float, float, float] | None
    anchors: int
    outbox: int
    partitions: tuple[PartitionState, ...]
    memory_bytes: int
    ring_bytes: int
    payload_bytes: int

    @property
    def watermark_ms(self) -> int:
        """Event time that every partition has passed."""
        return min((partition.watermark_ms for partition in self.partitions), default=0)

    @property
    def holding_back(self) -> list[str]:
        """The partitions that the watermark waits for; empty where all are equally far."""
        slowest = [partition.name for partition in self.partitions if partition.watermark_ms == self.watermark_ms]
        return slowest if len(slowest) < len(self.partitions) else []


def read_stats(client: Redis, prefix: str) -> StoreStats:
    """Looks at the store of a lineage; changes nothing.

    Raises:
        StoreError: the store is missing, damaged or out of reach.
    """
    names = [*SCRIPT_KEYS, Key.ANCHORS]
    keys = {name: store_key(prefix, name) for name in names}
    pipeline = client.pipeline(transaction=True)
    pipeline.hgetall(keys[Key.META])
    pipeline.hgetall(keys[Key.WATERMARKS])
    pipeline.zcard(keys[Key.OPEN])
    pipeline.get(keys[Key.PRIORITIES])
    pipeline.strlen(keys[Key.ENTRIES])
    pipeline.llen(keys[Key.ANCHORS])
    pipeline.xlen(keys[Key.OUTBOX])
    pipeline.hlen(keys[Key.PAYLOADS])
    pipeline.hrandfield(keys[Key.PAYLOADS], SAMPLED, withvalues=True)
    for name in names:
        pipeline.memory_usage(keys[name])
    with store_errors("reading statistics"):
        meta, watermarks, open_windows, priorities, entries, anchors, outbox, payloads, sample, *memory = (
            pipeline.execute()
        )
    if not meta:
        raise StoreError(
            f"no replay store under {store_key(prefix, '*')}: `ol0 topics apply` makes one; if there was one, it was "
            "wiped, and `ol0 replay rebuild` makes it again from the logs"
        )
    try:
        capacity, max_open = int(meta[b"capacity"]), int(meta[b"max_open"])
        counters, partitions = Counters.parse(meta, open_windows), _partitions(meta, watermarks)
    except (KeyError, ValueError) as error:
        raise damaged(keys[Key.META], f"{type(error).__name__}: {error}") from error
    if (len(priorities or b""), entries) != (capacity * PRIORITY.itemsize, capacity * RING_ENTRY.itemsize):
        raise damaged(keys[Key.ENTRIES], f"{len(priorities or b''):,} and {entries:,} bytes for {capacity:,} slots")
    lengths = [len(payload) for payload in cast("list[bytes]", sample)[1::2]]
    drawable = np.frombuffer(priorities, PRIORITY)
    drawable = drawable[drawable > 0]
    return StoreStats(
        incarnation=meta[b"incarnation"].decode(),
        counters=counters,
        capacity=capacity,
        max_open=max_open,
        filled=len(drawable),
        priorities=(float(drawable.min()), float(np.median(drawable)), float(drawable.max()))
        if len(drawable)
        else None,
        anchors=anchors,
        outbox=outbox,
        partitions=partitions,
        memory_bytes=sum(used or 0 for used in memory),
        ring_bytes=capacity * (PRIORITY.itemsize + RING_ENTRY.itemsize),
        payload_bytes=round(float(np.mean(lengths)) * payloads) if lengths else 0,
    )


def _partitions(meta: Mapping[bytes, bytes], watermarks: Mapping[bytes, bytes]) -> tuple[PartitionState, ...]:
    return tuple(
        PartitionState(
            name.decode(),
            int(meta.get(b"epoch:" + name, 0)),
            int(meta.get(b"next:" + name, 0)),
            int(watermark),
        )
        for name, watermark in sorted(watermarks.items())
    )
