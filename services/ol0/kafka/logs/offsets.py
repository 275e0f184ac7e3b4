"""Where logs begin and end, by the broker's word."""

from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Final

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked as such for mypy
    AdminClient,
    ListOffsetsResultInfo,
    OffsetSpec,
)

from ol0.errors import StreamError
from ol0.kafka.messages import broker_errors
from ol0.records import Partition

if TYPE_CHECKING:
    from concurrent.futures import Future

TIMEOUT_S: Final = 10.0


class Which(Enum):
    """Which offset of a log."""

    FIRST = "the first that is still there"
    STABLE = "where what may be read ends: at the first open transaction"
    END = "of the next record"


class AskedOffsets:
    """A question to the broker about one offset of every partition, on its way.

    Args:
        which: of them.
        admin: has to live until the answers are there.
        partitions: which are asked about.
        timeout_s: after so many seconds there is no answer.
    """

    def __init__(
        self, which: Which, admin: AdminClient, partitions: Iterable[Partition], timeout_s: float = TIMEOUT_S
    ) -> None:
        self._timeout_s = timeout_s
        spec = OffsetSpec.earliest() if which is Which.FIRST else OffsetSpec.latest()  # type: ignore[no-untyped-call]
        level = IsolationLevel.READ_COMMITTED if which is Which.STABLE else IsolationLevel.READ_UNCOMMITTED
        places = {TopicPartition(it.topic, it.number): spec for it in partitions}
        answers = admin.list_offsets(places, isolation_level=level, request_timeout=timeout_s)
        self._answers: dict[Partition, Future[ListOffsetsResultInfo]] = {
            Partition(it.topic, it.partition): answer for it, answer in answers.items()
        }

    @property
    def answered(self) -> bool:
        """Whether neither ``offsets`` nor ``known`` waits any more."""
        return all(answer.done() for answer in self._answers.values())

    def offsets(self) -> dict[Partition, int]:
        """What the broker said.

        Raises:
            StreamError: it did not answer, or not for every partition.
        """
        with broker_errors("offsets of the sources"):
            try:
                return {it: int(answer.result(self._timeout_s).offset) for it, answer in self._answers.items()}
            except TimeoutError as error:
                raise StreamError(f"offsets of the sources: no answer within {self._timeout_s:g} s") from error

    def known(self) -> dict[Partition, int | None]:
        """The same; None: no answer for this partition, as while its broker is away."""
        return {it: self._known(answer) for it, answer in self._answers.items()}

    def _known(self, answer: "Future[ListOffsetsResultInfo]") -> int | None:
        try:
            return int(answer.result(self._timeout_s).offset)
        except (KafkaException, TimeoutError):
            return None
