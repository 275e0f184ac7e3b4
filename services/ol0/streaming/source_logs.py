"""What the broker says of the logs that a sink reads: of which topic they are, and where they begin."""

from collections.abc import Iterable, Sequence
from typing import Final

from confluent_kafka import TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked as such for mypy
    AdminClient,
    OffsetSpec,
)

from ol0.errors import StreamError
from ol0.streaming.messages import broker_errors
from ol0.streaming.sink import Log, Partition
from ol0.streaming.topic_ids import describe

TIMEOUT_S: Final = 10.0
NO_ID: Final = "A" * 22
"""Sixteen zeros, in base 64: what a broker answers that gives its topics no ids (Kafka before 2.8, some others)."""


def source_logs(
    admin: AdminClient, partitions: Iterable[Partition], timeout_s: float = TIMEOUT_S
) -> dict[Partition, Log]:
    """The logs of partitions, in two questions for all of them.

    Raises:
        StreamError: the broker does not answer, or one of the topics is gone.
    """
    wanted = list(partitions)
    if not wanted:
        return {}
    topics = sorted({partition.topic for partition in wanted})
    described = describe(admin, topics, timeout_s)
    if missing := set(topics) - set(described):
        raise StreamError(f"no topic {min(missing)}; `ol0 topics apply` makes it")
    firsts = _first_offsets(admin, wanted, timeout_s)
    return {it: Log(_known(described[it.topic].topic_id), firsts[it]) for it in wanted}


def _known(topic_id: str) -> str:
    return "" if topic_id == NO_ID else topic_id


def _first_offsets(admin: AdminClient, partitions: Sequence[Partition], timeout_s: float) -> dict[Partition, int]:
    beginning = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
    wanted = {TopicPartition(it.topic, it.number): beginning for it in partitions}
    with broker_errors("first offsets of the sources"):
        answers = admin.list_offsets(wanted, request_timeout=timeout_s)
        try:
            return {Partition(it.topic, it.partition): one.result(timeout_s).offset for it, one in answers.items()}
        except TimeoutError as error:
            raise StreamError(f"first offsets of the sources: no answer within {timeout_s:g} s") from error
