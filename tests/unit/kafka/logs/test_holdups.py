from collections.abc import Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from ol0.kafka.logs import holdups
from ol0.kafka.logs.holdups import End, StallWatch, reason
from ol0.kafka.logs.questions import Asker
from ol0.records import Partition


@pytest.mark.parametrize(
    ("next_offset", "end", "is_read", "words"),
    [
        (5, End(5, 5), True, ""),
        (5, End(5, 5), False, "no feedback process reads it"),
        (5, End(25, 25), True, "20 records behind"),
        (5, End(5, 25), True, "another producer's transaction is open at offset 5, and the 20 records"),
        (5, End(8, 25), True, "3 records behind"),  # first things first
    ],
)
def test_what_time_waits_for_has_one_of_three_reasons(
    next_offset: int,
    end: End,
    is_read: bool,  # noqa: FBT001
    words: str,
) -> None:
    assert words in reason(next_offset, end, is_read=is_read)
    assert bool(words) == bool(reason(next_offset, end, is_read=is_read))


class Broker:
    """Says at once where the logs end, but of partition 1 nothing: its broker is away."""

    def list_offsets(self, places: Mapping[TopicPartition, object], **_: object) -> dict[TopicPartition, object]:
        return {place: self._answer(place.partition) for place in places}

    def _answer(self, number: int) -> "Future[object]":
        answer: Future[object] = Future()
        if number == 1:
            answer.set_exception(KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE)))
        else:
            answer.set_result(SimpleNamespace(offset=5))
        return answer


def test_a_partition_that_stands_still_is_found_though_the_broker_of_another_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(holdups, "STALLED_S", 0.0)
    watch, positions = (
        StallWatch(Asker(lambda: cast("AdminClient", Broker()))),
        {Partition("t", n): offset for n, offset in enumerate((3, 3, 5))},
    )
    assert watch.stalled(positions) == [], "it has only asked"
    assert watch.stalled(positions) == [("t", 0)]
