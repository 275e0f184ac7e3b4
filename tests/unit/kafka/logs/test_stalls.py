from collections.abc import Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from ol0.kafka.logs import stalls
from ol0.kafka.logs.stalls import StallWatch
from ol0.records import Partition


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
    monkeypatch.setattr(stalls, "STALL_S", 0.0)
    watch, positions = (
        StallWatch(cast("AdminClient", Broker())),
        {Partition("t", n): offset for n, offset in enumerate((3, 3, 5))},
    )
    assert watch.stalled(positions) == [], "it has only asked"
    assert watch.stalled(positions) == [("t", 0)]
