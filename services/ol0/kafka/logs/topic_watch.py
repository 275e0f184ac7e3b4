"""Whether the topics that a consume loop reads are still the ones that it began with."""

import time
from collections.abc import Iterable
from typing import Final

from confluent_kafka.admin import AdminClient

from ol0.errors import StreamError
from ol0.kafka.logs.offsets import TIMEOUT_S
from ol0.kafka.logs.source_logs import source_logs
from ol0.kafka.logs.topic_ids import Asked
from ol0.kafka.ports import Log
from ol0.records import Partition

LOOK_EVERY_S: Final = 5.0


class TopicWatch:
    """Remembers of which topic each owned partition is, and asks the broker from time to time.

    Without it, a topic that is deleted and made anew while it is read would be read on from the old offset, once its
    new log is long enough.
    """

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin
        self._logs: dict[Partition, Log] = {}
        self._asked: Asked | None = None
        self._look_at = time.monotonic() + LOOK_EVERY_S

    def logs(self, partitions: Iterable[Partition]) -> dict[Partition, Log]:
        """The logs of partitions that are to be claimed; watched from now on.

        Raises:
            StreamError: the broker does not answer, or a topic is gone.
        """
        found = source_logs(self._admin, partitions)
        self._logs |= found
        return found

    def again(self, partition: Partition) -> Log:
        """The log of an owned partition as it is now.

        Raises:
            StreamError: its topic was made anew; or as ``logs``.
        """
        before, found = self._logs[partition], source_logs(self._admin, [partition])[partition]
        if before.topic_id != found.topic_id:
            raise made_anew(partition, before.topic_id, found.topic_id)
        return found

    def forget(self, partition: Partition) -> None:
        """Somebody else reads it."""
        self._logs.pop(partition, None)

    def look(self) -> None:
        """Asks when it is time, and reads what was answered; waits for nothing.

        Raises:
            StreamError: a topic was deleted and made anew. What was read of the new log is what its offsets say, as the
                next claim finds out.
        """
        if self._asked is not None and self._asked.answered:
            asked, self._asked = self._asked, None
            self._compare(asked)
        if self._asked is None and self._logs and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_EVERY_S
            self._asked = Asked(self._admin, {partition.topic for partition in self._logs}, TIMEOUT_S)

    def _compare(self, asked: Asked) -> None:
        try:
            described = asked.topics()
        except StreamError:
            return  # out of reach: whoever reads and writes finds out too, and says so
        for partition, log in self._logs.items():
            found = described.get(partition.topic)
            if found is not None and log.topic_id and found.topic_id != log.topic_id:
                raise made_anew(partition, log.topic_id, found.topic_id)


def made_anew(partition: Partition, known_id: str, found_id: str) -> StreamError:
    """The error where a topic is another one than it was."""
    return StreamError(
        f"{partition.topic} was deleted and recreated while it was read (id {known_id}, now {found_id}): offsets of "
        "the old one mean nothing in it. `ol0 topics apply` begins at the first record of the new log"
    )
