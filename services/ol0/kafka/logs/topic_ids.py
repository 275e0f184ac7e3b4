"""Which topic it is: Kafka gives every topic an id, and another one to a topic that is made anew under the old name.

An offset says where one is in one topic. In its successor the same number stands for another record, so who keeps an
offset keeps the id beside it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked as such for mypy
    AdminClient,
    TopicDescription,
)

from ol0.errors import StreamError
from ol0.kafka.messages import error_of

if TYPE_CHECKING:
    from concurrent.futures import Future

MISSING: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})  # noqa: SLF001 - its own


@dataclass(frozen=True, slots=True)
class Described:
    """A topic as it stands at the broker: the id that tells it from its predecessors, and its partitions."""

    topic_id: str
    partitions: tuple[int, ...]


class Asked:
    """A question to the broker about topics, on its way."""

    def __init__(self, admin: AdminClient, topics: Iterable[str], timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._futures: Mapping[str, Future[TopicDescription]] = admin.describe_topics(
            TopicCollection(list(topics)), request_timeout=timeout_s
        )

    @property
    def answered(self) -> bool:
        """Whether ``topics`` waits no more."""
        return all(future.done() for future in self._futures.values())

    def topics(self) -> dict[str, Described]:
        """What the broker said, by full name; a topic that does not exist is left out.

        Raises:
            StreamError: it did not answer.
        """
        found = {}
        for name, future in self._futures.items():
            try:
                told = future.result(self._timeout_s)
            except KafkaException as exception:
                if error_of(exception).code() not in MISSING:
                    raise StreamError(f"description of {name}: {error_of(exception).str()}") from exception
            except TimeoutError as error:
                raise StreamError(f"description of {name}: no answer within {self._timeout_s:g} s") from error
            else:
                found[name] = Described(str(told.topic_id), tuple(sorted(one.id for one in told.partitions)))
        return found


def describe(admin: AdminClient, topics: Iterable[str], timeout_s: float) -> dict[str, Described]:
    """The ids and partitions of topics, by full name; one that does not exist is left out.

    Raises:
        StreamError: the broker does not answer.
    """
    return Asked(admin, topics, timeout_s).topics()
