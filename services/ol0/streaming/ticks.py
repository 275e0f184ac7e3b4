"""Ticks: what moves the time of a partition that carries nothing else."""

import time
from collections.abc import Iterable

from ol0.config import StreamingConfig
from ol0.records import Tick
from ol0.streaming.lineage import Lineage
from ol0.streaming.sender import RecordSender
from ol0.streaming.sink import Partition


class Ticker:
    """Writes a tick into a partition that has been silent for ``tick_interval_s``.

    The broker's append time is the tick's time, so that no worker's clock matters. With ``clock = "ticks"`` somebody
    else is the clock, and nothing is written.
    """

    def __init__(self, lineage: Lineage, streaming: StreamingConfig) -> None:
        self._interval_s = streaming.tick_interval_s if streaming.clock == "wall" else float("inf")
        self._sender = RecordSender(lineage)
        self._heard_at: dict[Partition, float] = {}

    def heard(self, partition: Partition) -> None:
        """The partition has just brought something, or has just been assigned."""
        self._heard_at[partition] = time.monotonic()

    def tick(self, partitions: Iterable[Partition]) -> None:
        """Writes to those of ``partitions`` that are silent. Waits for nothing.

        While earlier ticks are under way it writes none: an outage must not fill the queue with stale ones.
        """
        now = time.monotonic()
        silent = [partition for partition in partitions if now - self._heard_at[partition] >= self._interval_s]
        self._sender.poll()
        if self._sender.pending:
            return
        for partition in silent:
            self._sender.send_to(Tick(), partition.topic, partition.number)
            self._heard_at[partition] = now

    def close(self) -> None:
        """Lets the last ticks out, if that is quick."""
        self._sender.flush(1.0)
