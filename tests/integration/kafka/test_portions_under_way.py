"""What the sink takes in while the loop goes on."""

from collections.abc import Sequence
from dataclasses import replace

from integration.kafka.conftest import Start
from ol0.config import StreamingConfig
from ol0.kafka.lineage import Lineage
from ol0.kafka.ports import SourceRecord
from ol0.kafka.sending.record_sender import RecordSender
from ol0.records import Partition, Record
from support.examples import USER_FEEDBACK
from support.memory_sink import TIMEOUT_S, MemorySink, decisions, work_until
from testbed.waiting import wait_until

ONE_BY_ONE = StreamingConfig(clock="ticks", batch_size=1, batch_wait_s=0.05)


def test_the_next_records_are_decoded_before_the_last_have_to_be_in(lineage: Lineage, start: Start) -> None:
    decoded, decoded_by_then = list[Record](), list[int]()

    class Watched(MemorySink):
        def take(self, partition: Partition, records: Sequence[SourceRecord], next_offset: int) -> bool:
            decoded_by_then.append(len(decoded))
            return super().take(partition, records, next_offset)

    sink = Watched()
    RecordSender(lineage).send_all(decisions(3))
    loop = start(sink, streaming=ONE_BY_ONE, check=decoded.append)
    work_until(loop, lambda: len(sink.records) == 3)
    assert decoded_by_then == [2, 3, 3]


def test_portions_of_several_partitions_are_under_way_together(lineage: Lineage, start: Start) -> None:
    sink, sources, together = MemorySink(), ("decisions", "feedback.user"), 0
    sender = RecordSender(lineage)
    loop = start(sink, sources=sources)
    work_until(loop, lambda: len(loop.owned) == 2)
    sender.send_all([*decisions(20), *(replace(USER_FEEDBACK, feedback_id=f"f-{number}") for number in range(20))])

    def all_in() -> bool:
        nonlocal together
        together = max(together, len(sink.under_way))
        return len(sink.records) == 40

    work_until(loop, all_in)
    assert together == 2


def test_what_was_decoded_behind_a_portion_that_was_refused_comes_again(lineage: Lineage, start: Start) -> None:
    sink = MemorySink()
    RecordSender(lineage).send_all(decisions(6))
    loop = start(sink, streaming=ONE_BY_ONE)
    work_until(loop, lambda: len(sink.turns()) >= 1)
    sink.full = True
    work_until(loop, lambda: sink.refused >= 2)
    sink.full = False
    work_until(loop, lambda: len(sink.turns()) >= 3)
    sink.gap_at = 1
    work_until(loop, lambda: len(sink.turns()) == 6 and sink.gap_at is None)
    assert sink.turns() == list(range(6))


def test_partitions_change_hands_between_two_portions(start: Start, lineage: Lineage) -> None:
    sink, sources, sender = MemorySink(), ("decisions", "feedback.user"), RecordSender(lineage)
    sender.send_all([*decisions(100), *(replace(USER_FEEDBACK, feedback_id=f"f-{number}") for number in range(100))])
    one = start(sink, member="1", sources=sources, streaming=ONE_BY_ONE)
    work_until(one, lambda: len(sink.records) > 2)
    two = start(MemorySink(), member="2", sources=sources, streaming=ONE_BY_ONE)

    def shared() -> bool:
        one.step()
        two.step()
        return len(one.owned) == len(two.owned) == 1

    wait_until(shared, TIMEOUT_S)
    assert len(sink.released) == 1
    assert sink.turns() == list(range(len(sink.turns())))


def test_a_sink_with_work_to_go_on_with_is_not_kept_waiting_for_records(start: Start) -> None:
    class Busy(MemorySink):
        def idle(self) -> bool:
            return not super().idle()

    sink = Busy()
    loop = start(sink, streaming=StreamingConfig(clock="ticks", batch_wait_s=20))
    loop.step()
    wait_until(lambda: loop.step() and sink.idles > 100, TIMEOUT_S / 3)
