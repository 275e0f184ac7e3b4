"""Whether topics are still the ones that they were: for those who follow them for months."""

import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from ol0.errors import StreamError
from ol0.kafka.clients import Clients
from ol0.kafka.logs.topic_ids import Asked

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

ASK_S: Final = 10.0
"""From one answer to the next question: how late one may notice that a topic was made anew."""
ANSWER_S: Final = 5.0


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
        self._admin: AdminClient | None = None
        self._asked: Asked | None = None
        self._asked_at_s, self._next_s = 0.0, 0.0
        self._ids: dict[str, str] = {}

    def changed(self) -> list[str]:
        """The topics of which an answer has come with another id than the one before."""
        now_s = time.monotonic()
        if self._asked is None:
            if now_s >= self._next_s:
                self._asked, self._asked_at_s = self._ask(), now_s
            return []
        if not self._asked.answered:
            return []
        asked, self._asked, self._next_s = self._asked, None, now_s + ASK_S
        try:
            found = {topic: told.topic_id for topic, told in asked.topics().items()}
        except StreamError:
            return []
        self.answered_at_s = self._asked_at_s
        before, self._ids = self._ids, {**self._ids, **found}
        return [topic for topic, its_id in found.items() if before.get(topic, its_id) != its_id]

    def _ask(self) -> Asked:
        if self._admin is None:
            self._admin = self._clients.admin()
        return Asked(self._admin, self._topics, ANSWER_S)
