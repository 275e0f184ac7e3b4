"""Whether topics are still the same ones: Kafka gives another id to a topic that is recreated under its old name."""

import time
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from typing import Final

from confluent_kafka.admin import AdminClient

from ol0.errors import StreamError
from ol0.kafka.clients import Clients
from ol0.kafka.logs.questions import TIMEOUT_S, AskedTopics, Asker, Repeated, Which, describe
from ol0.kafka.ports import Log
from ol0.kafka.rights import Denied
from ol0.records import Partition

ASK_S: Final = 10.0
"""From one answer to the next question of a bystander: how late it may notice that a topic was recreated."""
ANSWER_S: Final = 5.0
LOOK_EVERY_S: Final = 5.0
"""The same for a consume loop, which would read on from an old offset."""
AGAIN_S: Final = 0.2
NO_ID: Final = "A" * 22
"""Sixteen zeros, in base 64: what a broker answers that gives its topics no ids (Kafka before 2.8, some others)."""


def source_logs(asker: Asker, partitions: Iterable[Partition], timeout_s: float = TIMEOUT_S) -> dict[Partition, Log]:
    """The logs of partitions, in three questions for all of them.

    Raises:
        StreamError: the broker does not answer, or one of the topics is gone.
    """
    wanted = list(partitions)
    if not wanted:
        return {}
    topics = sorted({partition.topic for partition in wanted})
    described = describe(asker.admin, topics, timeout_s)
    if missing := set(topics) - set(described):
        raise StreamError(f"no topic {min(missing)}; `ol0 topics apply` makes it")
    firsts, ends = (_offsets(which, asker, wanted, timeout_s) for which in (Which.FIRST, Which.END))
    return {it: Log(_known(described[it.topic].topic_id), firsts[it], ends[it]) for it in wanted}


def _known(topic_id: str) -> str:
    return "" if topic_id == NO_ID else topic_id


def _offsets(which: Which, asker: Asker, partitions: Sequence[Partition], timeout_s: float) -> dict[Partition, int]:
    """Asks again while leaders are elected: partitions change hands just when a broker is gone."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return asker.offsets(which, partitions, max(deadline - time.monotonic(), AGAIN_S)).offsets()
        except StreamError:
            if time.monotonic() + AGAIN_S > deadline:
                raise
            time.sleep(AGAIN_S)


class Identities:
    """Asks the broker now and then for the ids of topics, and never waits for the answer. For one thread.

    Args:
        topics: full names.
        clients: of their lineage.

    Attributes:
        answered_at_s: when the last question was asked that got an answer, by ``time.monotonic``; None: none did.
    """

    def __init__(self, topics: Collection[str], clients: Clients) -> None:
        self.answered_at_s: float | None = None
        self._topics, self._clients = topics, clients
        self._questions = Repeated[AskedTopics](ASK_S)
        self._asked_at_s = 0.0
        self._ids: dict[str, str] = {}

    def changed(self) -> list[str]:
        """The topics of which an answer has come with another id than the one before."""
        asked = self._questions.answered(self._ask)
        if asked is None:
            return []
        try:
            found = {topic: told.topic_id for topic, told in asked.topics().items()}
        except Denied as error:  # of this a consumer says nothing: it waits for ever
            self._clients.notes.note("cannot read", str(error))
            return []
        except StreamError:
            return []
        self.answered_at_s = self._asked_at_s
        before, self._ids = self._ids, {**self._ids, **found}
        return [topic for topic, its_id in found.items() if before.get(topic, its_id) != its_id]

    @cached_property
    def _admin(self) -> AdminClient:
        return self._clients.admin()

    def _ask(self) -> AskedTopics:
        self._asked_at_s = time.monotonic()
        return AskedTopics(self._admin, self._topics, ANSWER_S)


class TopicWatch:
    """Remembers the topic of each owned partition, and asks the broker from time to time.

    Without it, a topic that is deleted and recreated while it is read would be read on from the old offset, once its
    new log is long enough.
    """

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._logs: dict[Partition, Log] = {}
        self._questions = Repeated[AskedTopics](LOOK_EVERY_S, LOOK_EVERY_S)

    def logs(self, partitions: Iterable[Partition]) -> dict[Partition, Log]:
        """The logs of partitions that are to be claimed; watched from now on.

        Raises:
            StreamError: the broker does not answer, or a topic is gone.
        """
        found = source_logs(self._asker, partitions)
        self._logs |= found
        return found

    def again(self, partition: Partition) -> Log:
        """The log of an owned partition as it is now.

        Raises:
            StreamError: its topic was recreated; or as ``logs``.
        """
        before, found = self._logs[partition], source_logs(self._asker, [partition])[partition]
        if before.topic_id != found.topic_id:
            raise _recreated(partition, before.topic_id, found.topic_id)
        return found

    def forget(self, partition: Partition) -> None:
        """Another process reads it."""
        self._logs.pop(partition, None)

    def look(self) -> None:
        """Asks when it is time, and reads what was answered; waits for nothing.

        Raises:
            StreamError: a topic was deleted and recreated. What was read of the new log is what its offsets say, as the
                next claim finds out.
        """
        if (asked := self._questions.answered(self._ask)) is not None:
            self._compare(asked)

    def _ask(self) -> AskedTopics | None:
        topics = {partition.topic for partition in self._logs}
        return AskedTopics(self._asker.admin, topics, TIMEOUT_S) if topics else None

    def _compare(self, asked: AskedTopics) -> None:
        try:
            described = asked.topics()
        except StreamError:
            return  # out of reach: reading and writing find out too, and say so
        for partition, log in self._logs.items():
            found = described.get(partition.topic)
            if found is not None and log.topic_id and found.topic_id != log.topic_id:
                raise _recreated(partition, log.topic_id, found.topic_id)


def _recreated(partition: Partition, known_id: str, found_id: str) -> StreamError:
    return StreamError(
        f"{partition.topic} was deleted and recreated while it was read (id {known_id}, now {found_id}): offsets of "
        "the old one mean nothing in it. `ol0 topics apply` begins at the first record of the new log"
    )
