from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import pytest

from ol0.errors import StreamError
from ol0.feedback.closing import WindowCloser
from ol0.feedback.handler import Closing
from ol0.feedback.outbox import Message, pack_message
from ol0.pending import Pending
from ol0.replay.counters import DecisionDrop
from ol0.replay.protocol import ClosedWindow, Commit, Due, DueWindow, Exchange, Unsent

if TYPE_CHECKING:
    from ol0.feedback.handler import FeedbackHandler
    from ol0.replay.store import ReplayStore

BATCH = 2
USER_LIMIT = 7


class MemoryStore:
    """Windows that are due, and an outbox; a turn happens when it is sent, and its reply tells of that moment."""

    def __init__(self, due: int = 0) -> None:
        self.windows = [DueWindow(number.to_bytes(16), number, b"head", b"") for number in range(due)]
        self.outbox: list[Unsent] = []
        self.sequence = 0
        self.commits: list[Commit] = []
        self.forgotten: list[bytes] = []
        self.read = 0  # replies

    @property
    def exclusion(self) -> "MemoryStore":
        return self

    def forget(self, fields: Sequence[bytes], reason: DecisionDrop) -> None:
        assert reason is DecisionDrop.FORGOTTEN
        self.forgotten += fields
        self.windows = [window for window in self.windows if window.field not in fields]

    def turn(
        self, limit: int, commit: Commit | None = None, sent: Unsent | None = None, *, ask_unsent: bool = True
    ) -> Pending[Exchange]:
        if sent is not None:
            self.outbox = [one for one in self.outbox if one.last > sent.last]
        if commit is not None and commit.sequence == self.sequence:
            self.commits.append(commit)
            del self.windows[: len(commit.windows)]
            self.sequence += len(commit.windows)
            self.outbox.append(Unsent(self.sequence - 1, b"".join(window.outcome for window in commit.windows)))
        due = Due(self.sequence, self.sequence, 0, self.windows[:limit], 0)
        found = Exchange(due, self.outbox[0] if self.outbox and ask_unsent else None)

        def reply() -> Exchange:
            self.read += 1
            return found

        return Pending(reply)


class Handler:
    """Closes windows with an outcome that names their number, but for those of a user who was forgotten."""

    def __init__(self) -> None:
        self.forgets: set[bytes] = set()

    def close(self, windows: Sequence[DueWindow], number: int) -> Closing:
        closed = [ClosedWindow(window.decision_key, 1.0, message(number + i)) for i, window in enumerate(windows)]
        return Closing(closed, {"feedback_used": 1}, [it.field for it in windows if it.decision_key in self.forgets])


class Broker:
    """Takes messages, and acknowledges them when a test says so."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.acknowledges = True
        self.error: StreamError | None = None
        self.waits = 0

    def __call__(self, messages: Sequence[Message]) -> "Broker":
        self.sent += messages
        return self

    def done(self) -> bool:
        if self.error is not None:
            raise self.error
        return self.acknowledges

    def wait(self) -> None:
        self.waits += 1
        self.acknowledges = True


def message(number: int) -> bytes:
    return pack_message(b"session-%d" % number, b"outcome-%d" % number)


def messages(count: int) -> list[Message]:
    return [(b"session-%d" % number, b"outcome-%d" % number) for number in range(count)]


def make(store: MemoryStore, broker: Broker, handler: Handler | None = None) -> WindowCloser:
    return WindowCloser(
        cast("ReplayStore", store), cast("FeedbackHandler", handler or Handler()), broker, BATCH, USER_LIMIT
    )


def work(closer: WindowCloser) -> None:
    """Steps until nothing comes of one, after the first, which only asks."""
    closer.step()
    while closer.step():
        pass


def test_what_is_due_closes_in_order_and_every_outcome_is_sent_once_with_its_session_as_key() -> None:
    store, broker = MemoryStore(due=5), Broker()

    work(make(store, broker))

    assert [window.decision_key[-1] for commit in store.commits for window in commit.windows] == [0, 1, 2, 3, 4]
    assert {commit.user_limit for commit in store.commits} == {USER_LIMIT}
    assert broker.sent == messages(5)
    assert store.outbox == []


def test_no_step_waits_for_its_own_turn() -> None:
    store = MemoryStore(due=1)
    closer = make(store, Broker())

    for replies in range(4):
        closer.step()
        assert store.read == replies


def test_outcomes_stay_in_the_outbox_until_they_are_acknowledged_and_windows_close_meanwhile() -> None:
    store, broker = MemoryStore(due=6), Broker()
    broker.acknowledges = False
    closer = make(store, broker)

    for _ in range(8):
        closer.step()
    assert len(store.commits) == 3
    assert broker.sent == messages(2)
    assert len(store.outbox) == 3

    broker.acknowledges = True
    work(closer)
    assert broker.sent == messages(6)
    assert store.outbox == []


def test_outcomes_that_are_not_acknowledged_are_an_error_and_are_sent_again() -> None:
    store, broker = MemoryStore(due=1), Broker()
    broker.error = StreamError("not acknowledged")
    closer = make(store, broker)

    with pytest.raises(StreamError):
        work(closer)
    assert len(store.outbox) == 1

    broker.error = None
    work(closer)
    assert broker.sent == messages(1) * 2
    assert store.outbox == []


def test_windows_of_whoever_was_forgotten_go_and_the_others_close_with_the_next_turn() -> None:
    store, handler = MemoryStore(due=4), Handler()
    gone = store.windows[1]
    handler.forgets = {gone.decision_key}

    work(make(store, Broker(), handler))

    assert store.forgotten == [gone.field]
    assert [window.decision_key[-1] for commit in store.commits for window in commit.windows] == [0, 2, 3]


def test_a_full_turn_says_that_there_may_be_more() -> None:
    store = MemoryStore(due=BATCH + 1)
    closer = make(store, Broker())
    seen = []
    for _ in range(4):
        closer.step()
        seen.append(closer.is_behind)
    assert seen == [False, True, False, False]


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_whoever_rests_leaves_nothing_under_way_and_begins_anew_when_it_is_his_turn_again(steps: int) -> None:
    store, broker = MemoryStore(due=3), Broker()
    broker.acknowledges = False
    closer = make(store, broker)
    for _ in range(steps):
        closer.step()

    closer.rest()
    assert store.read == steps + broker.waits
    assert not closer.is_behind

    broker.acknowledges = True
    work(closer)
    assert broker.sent == messages(3)
    assert store.outbox == []


@pytest.mark.parametrize("steps", range(5))
def test_at_the_end_every_outcome_that_was_committed_is_sent_and_acknowledged(steps: int) -> None:
    store, broker = MemoryStore(due=5), Broker()
    closer = make(store, broker)
    for _ in range(steps):
        closer.step()
    broker.acknowledges = False

    closer.finish()

    assert broker.sent == messages(sum(len(commit.windows) for commit in store.commits))
    assert store.outbox == []
