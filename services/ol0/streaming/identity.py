"""Whether a topic is still the one that it was: for those who follow it for months."""

import time
from typing import TYPE_CHECKING

from ol0.errors import StreamError
from ol0.streaming.clients import Clients
from ol0.streaming.topic_ids import Asked

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

ANSWER_S = 5.0


class Identity:
    """Asks the broker now and then for the id of a topic, and never waits for the answer. For one thread.

    Args:
        topic: full name.
        clients: of its lineage.
        ask_s: from one answer to the next question.

    Attributes:
        answered_at_s: when the last question was asked that got an answer, by ``time.monotonic``; None: none did.
    """

    def __init__(self, topic: str, clients: Clients, ask_s: float) -> None:
        self.answered_at_s: float | None = None
        self._topic, self._clients, self._ask_s = topic, clients, ask_s
        self._admin: AdminClient | None = None
        self._asked: Asked | None = None
        self._asked_at_s, self._next_s = 0.0, 0.0
        self._id: str | None = None

    def changed(self) -> bool:
        """Whether an answer has come that names another topic than the one before."""
        now_s = time.monotonic()
        if self._asked is None:
            if now_s >= self._next_s:
                self._asked, self._asked_at_s = self._ask(), now_s
            return False
        if not self._asked.answered:
            return False
        asked, self._asked, self._next_s = self._asked, None, now_s + self._ask_s
        try:
            found = asked.topics().get(self._topic)
        except StreamError:
            return False
        self.answered_at_s = self._asked_at_s
        if found is None:
            return False
        before, self._id = self._id, found.topic_id
        return before not in {None, found.topic_id}

    def _ask(self) -> Asked:
        if self._admin is None:
            self._admin = self._clients.probe()
        return Asked(self._admin, [self._topic], ANSWER_S)
