"""Closing windows and sending their outcomes, in turns with the store, without waiting."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ol0.feedback.handler import FeedbackHandler
from ol0.feedback.outbox import Message, unpack_messages
from ol0.feedback.time_watch import TimeWatch
from ol0.replay.counters import DecisionDrop
from ol0.replay.protocol import NOTHING_TO_DO, Commit, Due, Exchange, Unsent
from ol0.replay.store import ReplayStore

if TYPE_CHECKING:
    from ol0.pending import Pending


class Delivery(Protocol):
    """Messages on their way. Each method raises StreamError where one of them will not be acknowledged."""

    def done(self) -> bool:
        """Whether all are acknowledged by now."""
        ...

    def wait(self) -> None:
        """Until all are acknowledged."""
        ...


Publish = Callable[[Sequence[Message]], Delivery]
"""Sends (session id, outcome) messages."""


class _Sending(NamedTuple):
    outcomes: Unsent
    delivery: Delivery


class WindowCloser:
    """Closes what is due and relays the outbox.

    A turn is one exchange with the store: it forgets what was sent, commits what was judged, and asks what is due and
    unsent by then. Its reply is read at the next step, and has come by itself in between; acknowledgements are waited
    for in the same way. So the process computes while the store does, in one thread.

    Several workers may do this at once: due windows are frozen, commits are compare-and-set, and an outcome that is
    sent twice is the same twice.
    """

    def __init__(
        self,
        store: ReplayStore,
        handler: FeedbackHandler,
        publish: Publish,
        batch_size: int,
        user_limit: int,
        watch: TimeWatch | None = None,
    ) -> None:
        """Asks nothing yet; arguments as those of ``FeedbackJoin``."""
        self._store = store
        self._handler = handler
        self._publish = publish
        self._batch_size = batch_size
        self._user_limit = user_limit
        self._watch = watch
        self._turn: Pending[Exchange] | None = None
        self._sending: _Sending | None = None
        self._listed = 0

    @property
    def is_behind(self) -> bool:
        """Whether more windows may be due than the last turn has listed."""
        return self._listed >= self._batch_size

    def step(self) -> bool:
        """Does what the last turn has found, and begins the next one. Returns whether anything came of it.

        Raises:
            StoreError: the store is damaged or out of reach.
            StreamError: outcomes were not acknowledged; they stay in the outbox.
        """
        due, unsent = self._found()
        sent = self._acknowledged()
        if unsent is not None:
            self._send(unsent)
        commit = self._judge(due) if due else None
        self._listed = len(due.windows)
        ask_unsent = self._sending is None
        self._turn = self._store.turn(self._batch_size, commit, sent, ask_unsent=ask_unsent)
        return bool(due) or sent is not None or self._sending is not None

    def wait(self) -> None:
        """Until the last turn is over, however it ended; ``step`` finds out."""
        if self._turn is not None:
            self._turn.wait()

    def rest(self) -> None:
        """Leaves windows and outbox to another process, which sends again what is not trimmed by then.

        Raises:
            StoreError, StreamError: as ``step``.
        """
        self.wait()
        self._turn, self._listed = None, 0
        if self._sending is not None:
            self._trim(self._sending)

    def finish(self) -> None:
        """Sends what is in the outbox, and waits until it is acknowledged; closes no more windows.

        Raises:
            StoreError, StreamError: as ``step``.
        """
        unsent = self._found().unsent
        while True:
            if unsent is not None:
                self._send(unsent)
            if self._sending is None:
                return
            unsent = self._trim(self._sending).unsent

    def _found(self) -> Exchange:
        turn, self._turn = self._turn, None
        return NOTHING_TO_DO if turn is None else turn.result()

    def _send(self, unsent: Unsent) -> None:
        self._sending = _Sending(unsent, self._publish(list(unpack_messages(unsent.outcomes))))

    def _trim(self, sending: _Sending) -> Exchange:
        """Waits until all has arrived."""
        self._sending = None
        sending.delivery.wait()
        return self._store.turn(0, sent=sending.outcomes).result()

    def _acknowledged(self) -> Unsent | None:
        """What was sent and has arrived since the last step."""
        sending, self._sending = self._sending, None  # where the delivery fails, the next turn asks for it again
        if sending is None:
            return None
        if sending.delivery.done():
            return sending.outcomes
        self._sending = sending
        return None

    def _judge(self, due: Due) -> Commit | None:
        """What becomes of the windows. None where some had to go without an outcome: the next turn lists the others."""
        closing = self._handler.close(due.windows, due.next_outcome)
        gone = {DecisionDrop.FORGOTTEN: closing.forgotten, DecisionDrop.OVERSIZED: closing.oversized}
        for reason, windows in gone.items():
            if windows:
                self._store.exclusion.forget(windows, reason)
        if any(gone.values()):
            return None
        if self._watch:
            self._watch.closed(closing.counts)
        return Commit(due.sequence, closing.windows, closing.counts, self._user_limit)
