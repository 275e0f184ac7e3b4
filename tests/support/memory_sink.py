"""A sink for consume loops, and what tests do with it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from ol0.errors import Gap, OL0Error
from ol0.kafka.consume_loop import ConsumeLoop
from ol0.kafka.ports import Log, SourceRecord
from ol0.pending import Pending
from ol0.records import Decision, Partition
from support.examples import DECISION
from testbed.waiting import wait_until

TIMEOUT_S = 30.0


class MemorySink:
    """A store in memory, which outlives the loops that feed it. It checks what the real one checks.

    What it is given comes in when the result is asked for: as late as may be.
    """

    def __init__(self) -> None:
        self.offsets: dict[Partition, int] = {}
        self.records: list[SourceRecord] = []
        self.under_way: set[Partition] = set()
        self.full = False
        self.refused = 0
        self.idles = 0
        self.finished = 0
        self.claims: list[Partition] = []
        self.released: list[Partition] = []
        self.skipped: list[tuple[int, Log]] = []
        self.gap_at: int | None = None
        self.apply_error: OL0Error | None = None
        self.claim_error: OL0Error | None = None

    def claim(self, partition: Partition, log: Log) -> int:
        assert partition not in self.under_way, "partitions change hands between two portions"
        if self.claim_error:
            raise self.claim_error
        self.claims.append(partition)
        return self.offsets.setdefault(partition, log.first_offset)

    def apply(self, partition: Partition, records: Sequence[SourceRecord], next_offset: int) -> Pending[bool]:
        assert partition not in self.under_way, "of each partition, one portion after the other"
        self.under_way.add(partition)

        def taken() -> bool:
            self.under_way.remove(partition)
            return self.take(partition, records, next_offset)

        return Pending(taken)

    def take(self, partition: Partition, records: Sequence[SourceRecord], next_offset: int) -> bool:
        if self.apply_error:
            raise self.apply_error
        if self.full:
            self.refused += 1
            return False
        if self.gap_at is not None:
            self.offsets[partition], self.gap_at = self.gap_at, None
            self.records = [record for record in self.records if record.offset < self.offsets[partition]]
            raise Gap("restored from a backup")
        assert all(self.offsets[partition] <= record.offset < next_offset for record in records)
        self.offsets[partition] = next_offset
        self.records.extend(records)
        return True

    def skip(self, partition: Partition, log: Log) -> int:
        assert partition not in self.under_way, "the last portion comes first"
        self.skipped.append((self.offsets[partition], log))
        self.offsets[partition] = max(log.first_offset, min(self.offsets[partition], log.end))
        return self.offsets[partition]

    def release(self, partition: Partition) -> None:
        assert partition not in self.under_way, "partitions change hands between two portions"
        self.released.append(partition)

    def idle(self) -> bool:
        self.idles += 1
        return False

    def finish(self) -> None:
        assert not self.under_way, "the last portions come first"
        self.finished += 1

    def turns(self) -> list[int]:
        return [source.record.turn for source in self.records if isinstance(source.record, Decision)]


def decisions(count: int, first: int = 0) -> list[Decision]:
    return [replace(DECISION, turn=turn) for turn in range(first, first + count)]


def work_until(loop: ConsumeLoop, condition: Callable[[], object]) -> None:
    def done() -> object:
        loop.step()
        return condition()

    wait_until(done, TIMEOUT_S)
