"""What the broker says of the logs that a sink reads: of which topic they are, where they begin and end."""

import time
from collections.abc import Iterable, Sequence
from typing import Final

from confluent_kafka.admin import AdminClient

from ol0.errors import StreamError
from ol0.kafka.logs.offsets import TIMEOUT_S, AskedOffsets, Which
from ol0.kafka.logs.topic_ids import describe
from ol0.kafka.ports import Log
from ol0.records import Partition

AGAIN_S: Final = 0.2
NO_ID: Final = "A" * 22
"""Sixteen zeros, in base 64: what a broker answers that gives its topics no ids (Kafka before 2.8, some others)."""


def source_logs(
    admin: AdminClient, partitions: Iterable[Partition], timeout_s: float = TIMEOUT_S
) -> dict[Partition, Log]:
    """The logs of partitions, in three questions for all of them.

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
    firsts, ends = (_offsets(which, admin, wanted, timeout_s) for which in (Which.FIRST, Which.END))
    return {it: Log(_known(described[it.topic].topic_id), firsts[it], ends[it]) for it in wanted}


def _known(topic_id: str) -> str:
    return "" if topic_id == NO_ID else topic_id


def _offsets(
    which: Which, admin: AdminClient, partitions: Sequence[Partition], timeout_s: float
) -> dict[Partition, int]:
    """Asks again while leaders are elected: partitions change hands just when a broker is gone."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return AskedOffsets(which, admin, partitions, max(deadline - time.monotonic(), AGAIN_S)).offsets()
        except StreamError:
            if time.monotonic() + AGAIN_S > deadline:
                raise
            time.sleep(AGAIN_S)
