"""Whether a topic is still the one that it was: for those who follow it for months."""

import time
from typing import TYPE_CHECKING, Final

from ol0.errors import StreamError
from ol0.streaming.clients import Clients
from ol0.streaming.topic_ids import Asked

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

ASK_S: Final = 10.0
"""From one answer to the next question: how late one may notice that a topic was made anew."""
ANSWER_S: Final = 5.0


class Identity:
    """Asks the broker now and then for the id of a topic, and never waits for the answer. For one thread.

    Args:
        topic: full name.
        clients: of its lineage.

    Attributes:
        answered_at_s: when the last question was asked that got an answer, by ``time.monotonic``; None: none did.
    """

    def __init__(self, topic: str, clients: Clients) -> None:
        self.answered_at_s: float | None = None
        self._topic, self._clients = topic, clients
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
        asked, self._asked, self._next_s = self._asked, None, now_s + ASK_S
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
            self._admin = self._clients.admin()
        return Asked(self._admin, [self._topic], ANSWER_S)
