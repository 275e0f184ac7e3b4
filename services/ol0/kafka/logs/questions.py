"""Questions to the broker about topics and their logs: each is sent at once, and its answer read later."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked as such for mypy
    AdminClient,
    ListOffsetsResultInfo,
    OffsetSpec,
    TopicDescription,
)

from ol0.kafka.messages import broker_errors, error_of
from ol0.kafka.rights import SEEING
from ol0.records import Partition

if TYPE_CHECKING:
    from concurrent.futures import Future

TIMEOUT_S: Final = 10.0
MISSING: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})  # noqa: SLF001 - its own


class Question(Protocol):
    """A question on its way to the broker."""

    @property
    def answered(self) -> bool:
        """Whether its answer can be read without waiting."""


Q = TypeVar("Q", bound=Question)


class Repeated(Generic[Q]):
    """Asks one question after the other and never waits for an answer. For one thread.

    Args:
        every_s: from one answer, or from a moment at which there was nothing to ask, to the next question.
        first_s: until the first question.
    """

    def __init__(self, every_s: float, first_s: float = 0.0) -> None:
        self._every_s = every_s
        self._ask_at_s = time.monotonic() + first_s
        self._asked: Q | None = None

    def answered(self, ask: Callable[[], Q | None]) -> Q | None:
        """The question whose answer has arrived since the last call; asks the next one when it is due."""
        now_s, asked = time.monotonic(), self._asked
        if asked is None:
            if now_s >= self._ask_at_s:
                self._ask_at_s, self._asked = now_s + self._every_s, ask()
            return None
        if not asked.answered:
            return None
        self._asked, self._ask_at_s = None, now_s + self._every_s
        return asked


class Which(Enum):
    """Which offset of a log."""

    FIRST = "the first that is still there"
    STABLE = "where what may be read ends: at the first open transaction"
    END = "of the next record"


class AskedOffsets:
    """A question about one offset of every partition. ``Asker.offsets`` asks it.

    Args:
        which: of them.
        admin: sends the question; kept, for its answers end with it.
        partitions: which are asked about.
        timeout_s: after so many seconds there is no answer.
        on_error: gets ``admin`` for each answer that is an error.
    """

    def __init__(
        self,
        which: Which,
        admin: AdminClient,
        partitions: Iterable[Partition],
        timeout_s: float,
        on_error: Callable[[AdminClient], None],
    ) -> None:
        self._admin, self._on_error = admin, on_error
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
        """The answers.

        Raises:
            StreamError: the broker did not answer, or not for every partition.
        """
        with broker_errors("offsets of the sources"):
            return {it: self._offset(answer) for it, answer in self._answers.items()}

    def known(self) -> dict[Partition, int | None]:
        """The same; None: no answer for this partition, as while its broker is away."""
        return {it: self._known(answer) for it, answer in self._answers.items()}

    def _known(self, answer: "Future[ListOffsetsResultInfo]") -> int | None:
        try:
            return self._offset(answer)
        except (KafkaException, TimeoutError):
            return None

    def _offset(self, answer: "Future[ListOffsetsResultInfo]") -> int:
        try:
            return int(answer.result(self._timeout_s).offset)
        except (KafkaException, TimeoutError):
            self._on_error(self._admin)
            raise


class Asker:
    """Owns an admin client, asks for offsets, and replaces the client after an error. For one thread.

    After a restart of a broker, a client keeps asking with the leader epoch from before, which the broker refuses each
    time; a new client learns the epoch of now.

    Args:
        make: makes a client: ``Clients.admin``.

    Attributes:
        admin: the client of now, for other requests.
    """

    def __init__(self, make: Callable[[], AdminClient]) -> None:
        self._make = make
        self.admin = make()

    def offsets(self, which: Which, partitions: Iterable[Partition], timeout_s: float = TIMEOUT_S) -> AskedOffsets:
        """Asks for one offset of every partition; see ``AskedOffsets``."""
        return AskedOffsets(which, self.admin, partitions, timeout_s, self._replace)

    def _replace(self, failed: AdminClient) -> None:
        """Once, however many answers of one client are errors."""
        if self.admin is failed:
            self.admin = self._make()


@dataclass(frozen=True, slots=True)
class Described:
    """A topic as the broker knows it.

    Kafka gives another id to a topic that is recreated under the old name. The same offset means another record there,
    so an offset is kept together with the id.
    """

    topic_id: str
    partitions: tuple[int, ...]


class AskedTopics:
    """A question about the ids and partitions of topics."""

    def __init__(self, admin: AdminClient, topics: Iterable[str], timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._admin = admin  # its answers end with it
        self._futures: Mapping[str, Future[TopicDescription]] = admin.describe_topics(
            TopicCollection(list(topics)), request_timeout=timeout_s
        )

    @property
    def answered(self) -> bool:
        """Whether ``topics`` waits no more."""
        return all(future.done() for future in self._futures.values())

    def topics(self) -> dict[str, Described]:
        """The answers, by full name; a topic that does not exist is left out.

        Raises:
            StreamError: the broker did not answer.
        """
        found = {}
        for name, future in self._futures.items():
            with broker_errors(f"description of {name}", SEEING, name):
                try:
                    told = future.result(self._timeout_s)
                except KafkaException as exception:
                    if error_of(exception).code() in MISSING:
                        continue
                    raise
            found[name] = Described(str(told.topic_id), tuple(sorted(one.id for one in told.partitions)))
        return found


def describe(admin: AdminClient, topics: Iterable[str], timeout_s: float) -> dict[str, Described]:
    """The ids and partitions of topics, by full name; one that does not exist is left out.

    Raises:
        StreamError: the broker does not answer.
    """
    return AskedTopics(admin, topics, timeout_s).topics()
