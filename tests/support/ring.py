"""A store of one partition, into whose ring numbered examples can be put."""

from redis import Redis

from contract.store_calls import commit, due_windows
from ol0.records import Partition
from ol0.replay.anchors import AnchorStore
from ol0.replay.buffer import ReplayBuffer
from ol0.replay.exclusion import Exclusion
from ol0.replay.protocol import Arrivals, ClosedWindow
from ol0.replay.store import ReplayStore

DECISIONS = Partition("t.decisions.v1", 0)
CAPACITY = 8


def store_examples(store: ReplayStore, numbers: range, capacity: int, unit: int) -> None:
    """Decisions that arrive and whose windows close at once: example n has the payload "n" and the reward n / unit."""
    claim = store.claim(DECISIONS)
    arrivals = Arrivals(
        watermark_ms=numbers.stop,
        patience_ms=1,
        decision_keys=b"".join(number.to_bytes(16) for number in numbers),
        deadlines="".join(f"{number + 1:013d}" for number in numbers),
        payloads=[b"%d" % number for number in numbers],
        targets=b"",
        feedback=b"",
        counts={"decisions": len(numbers)},
    )
    store.apply(DECISIONS, claim, claim.next_offset + 1, arrivals).result()
    while due := due_windows(store, capacity):
        closed = [ClosedWindow(it.decision_key, int(it.head) / unit, b"outcome") for it in due.windows]
        commit(store, due.sequence, closed, {})


class Lineage:
    """A store with one partition, into which examples can be put."""

    def __init__(self, client: Redis, prefix: str, capacity: int = CAPACITY) -> None:
        self.client, self.prefix, self.capacity = client, prefix, capacity
        self.store = ReplayStore(client, prefix)
        self.incarnation = self.store.register({DECISIONS: 0}, capacity, 2 * capacity)
        self.buffer = ReplayBuffer(client, prefix, self.incarnation, epsilon=0.5)
        self.anchors = AnchorStore(client, prefix)
        self.exclusion = Exclusion(client, prefix)
        self.added = 0

    def add(self, count: int) -> None:
        """Example n has the payload "n" and the reward n / 100."""
        numbers = range(self.added, self.added + count)
        store_examples(self.store, numbers, self.capacity, 100)
        self.added = numbers.stop

    def exclude(self, *payloads: int) -> None:
        """Takes examples out behind the buffer's back."""
        self.exclusion.exclude(self.exclusion.examples(lambda payload: int(payload) in payloads))


def numbers(payloads: tuple[bytes, ...]) -> list[int]:
    return [int(payload) for payload in payloads]
