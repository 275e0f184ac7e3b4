"""Partitions of which a consumer gives nothing, though the log has more."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked as such for mypy
    AdminClient,
    ListOffsetsResultInfo,
    OffsetSpec,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

Place = tuple[str, int]
"""Full name of a topic, and a partition."""

STALL_S: Final = 30.0
"""Silence after which one asks whether there is more to read: one small question, of quiet partitions alone."""
ANSWER_S: Final = 10.0


class StallWatch:
    """Asks the broker about partitions that have been silent, and waits for no answer.

    After brokers had died it was seen that a consumer went on with most of its partitions, and of one said nothing any
    more: no record, no end, no error. Whoever waits for it waits for ever.
    """

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin
        self._heard_at: dict[Place, float] = {}
        self._asked: dict[Place, Future[ListOffsetsResultInfo]] = {}

    def heard(self, place: Place) -> None:
        """The partition has brought a record, or said that this is its end."""
        self._heard_at[place] = time.monotonic()

    def stalled(self, positions: Mapping[Place, int]) -> list[Place]:
        """Those that are silent and have records behind their position that may be read: open transactions have none.

        Args:
            positions: the next offset of every partition that is read.
        """
        if not self._asked:
            self._ask(positions)
            return []
        if not all(answer.done() for answer in self._asked.values()):
            return []
        asked, self._asked = self._asked, {}
        for place in asked:
            self.heard(place)  # it has as long again
        return [place for place, answer in asked.items() if _end(answer) > positions.get(place, _end(answer))]

    def _ask(self, positions: Mapping[Place, int]) -> None:
        now = time.monotonic()
        quiet = [place for place in positions if now - self._heard_at.setdefault(place, now) >= STALL_S]
        if quiet:
            latest = {TopicPartition(*place): OffsetSpec.latest() for place in quiet}  # type: ignore[no-untyped-call]
            answers = self._admin.list_offsets(
                latest, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=ANSWER_S
            )
            self._asked = {(one.topic, one.partition): answer for one, answer in answers.items()}


def _end(answer: "Future[ListOffsetsResultInfo]") -> int:
    """Where what may be read ends; nowhere while the broker is away, which reading says by itself."""
    try:
        return int(answer.result(0).offset)
    except KafkaException:
        return 0
