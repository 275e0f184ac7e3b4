"""Ticks: what moves the time of a partition that carries nothing else."""

import time
from collections.abc import Callable, Iterable

import structlog
from confluent_kafka import KafkaError, KafkaException, Message

from ol0.clock import wall_clock_ms
from ol0.config import StreamingConfig
from ol0.kafka.clients import METADATA_MS
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import Outgoing, write
from ol0.kafka.rights import missing_right
from ol0.records import Partition, Tick


class Ticker:
    """Writes a tick into a partition that has been silent for ``tick_interval_s``.

    It says this process's time, and the broker adds its own; the earlier of the two counts, as for every record. So no
    clock that is ahead moves time alone. With ``clock = "ticks"`` another process is the clock, and nothing is written.
    """

    def __init__(self, lineage: Lineage, streaming: StreamingConfig, now_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._now_ms = now_ms
        self._interval_s = streaming.tick_interval_s if streaming.clock == "wall" else float("inf")
        self._producer = lineage.clients.producer(METADATA_MS)  # it has to know partitions as soon as their owner does
        self._encode = lineage.codec.encode
        self._under_way = 0
        self._heard_at: dict[Partition, float] = {}
        self._log = structlog.get_logger("ol0.ticks")

    def heard(self, partition: Partition) -> None:
        """The partition has just brought something, or has just been assigned."""
        self._heard_at[partition] = time.monotonic()

    def tick(self, partitions: Iterable[Partition]) -> None:
        """Writes to those of ``partitions`` that are silent. Waits for nothing.

        While earlier ticks are under way it writes none: an outage must not fill the queue with stale ones.
        """
        now = time.monotonic()
        silent = [partition for partition in partitions if now - self._heard_at[partition] >= self._interval_s]
        self._producer.poll(0)
        if self._under_way:
            return
        for partition in silent:
            self._write(partition)
            self._heard_at[partition] = now

    def close(self) -> None:
        """Lets the last ticks out, if that is quick."""
        self._producer.flush(1.0)

    def _write(self, partition: Partition) -> None:
        tick = Outgoing(partition.topic, None, self._encode(Tick(self._now_ms())), partition.number)
        try:
            write(self._producer, tick, self._delivered)
        except (BufferError, KafkaException) as error:  # a partition that is new to this producer, for some seconds
            self._log.debug("no tick", partition=str(partition), reason=str(error))
        else:
            self._under_way += 1

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        self._under_way -= 1
        if error is not None:
            where = f"{message.topic()}[{message.partition()}]"
            reason = f"{error.str()}{missing_right(error, 'Write', [str(message.topic())])}"
            self._log.warning("a tick was not delivered", partition=where, reason=reason)
