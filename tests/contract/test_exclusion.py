"""What is taken out of the store, and what that leaves alone."""

import numpy as np
import pytest
from redis import Redis

from contract.store_calls import commit, due_windows
from contract.store_keys import contents
from ol0.records import Partition
from ol0.replay.counters import DecisionDrop, FeedbackDrop
from ol0.replay.exclusion import Exclusion
from ol0.replay.layout import FeedbackEntry, Key, feedback_key, payload_field, source_key, store_key
from ol0.replay.protocol import Arrivals, ClosedWindow
from ol0.replay.stats import read_stats
from ol0.replay.store import ReplayStore

PARTITION, QUIET = Partition("t.decisions.v1", 0), Partition("t.feedback.user.v1", 0)
CAPACITY = 4
THUMB = FeedbackEntry(feedback_key("thumb"), source_key("ann"), 0, 0, 1.0, 1)


class Lineage:
    """A store, and a partition into which decisions come: number n has the payload "n" and its deadline at n."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self.client, self.prefix = client, prefix
        self.store = ReplayStore(client, prefix)
        self.store.register({PARTITION: 0}, CAPACITY, 100)
        self.exclusion = Exclusion(client, prefix)

    def decide(self, *numbers: int, watermark_ms: int = 0, thumbs: int = 0) -> None:
        """Thumbs go to the first one."""
        claim = self.store.claim(PARTITION)
        keys = [number.to_bytes(16) for number in numbers]
        entries = [THUMB._replace(feedback_id=feedback_key(str(number))).pack() for number in range(thumbs)]
        batch = Arrivals(
            watermark_ms=max(watermark_ms, claim.watermark_ms),
            patience_ms=5,
            decision_keys=b"".join(keys),
            deadlines="".join(f"{number:013d}" for number in numbers),
            payloads=[b"%d" % number for number in numbers],
            targets=b"".join(keys[:1] * thumbs),
            feedback=b"".join(entries),
            counts={"decisions": len(numbers), "feedback": thumbs},
        )
        self.store.apply(PARTITION, claim, claim.next_offset + 1, batch).result()

    def add(self, *numbers: int) -> None:
        """Examples."""
        self.decide(*numbers, watermark_ms=max(numbers))
        while due := due_windows(self.store, CAPACITY):
            closed = [ClosedWindow(it.decision_key, 1.0, b"outcome") for it in due.windows]
            commit(self.store, due.sequence, closed, {})

    def left(self) -> list[int]:
        """Payloads that are still there."""
        return sorted(map(int, self.client.hvals(store_key(self.prefix, Key.PAYLOADS))))

    def priorities(self) -> list[float]:
        stored = self.client.get(store_key(self.prefix, Key.PRIORITIES))
        assert isinstance(stored, bytes)
        return [float(priority) for priority in np.frombuffer(stored, "<f4")]


@pytest.fixture
def lineage(client: Redis, prefix: str) -> Lineage:
    return Lineage(client, prefix)


def even(payload: bytes) -> bool:
    return int(payload) % 2 == 0


def test_what_is_found_is_not_changed(lineage: Lineage) -> None:
    lineage.add(1, 2, 3)
    lineage.decide(20)
    before = contents(lineage.client, lineage.prefix)

    assert lineage.exclusion.examples(even)["slot"].tolist() == [1]
    assert lineage.exclusion.windows(even) == [payload_field(20, (20).to_bytes(16))]
    assert contents(lineage.client, lineage.prefix) == before


def test_an_excluded_example_keeps_its_slot_but_neither_payload_nor_priority(lineage: Lineage) -> None:
    lineage.add(1, 2, 3)
    ring = lineage.client.get(store_key(lineage.prefix, Key.ENTRIES))

    assert lineage.exclusion.exclude(lineage.exclusion.examples(even)) == 1

    assert lineage.left() == [1, 3]
    assert lineage.priorities() == [1, 0, 1, 0]
    assert lineage.client.get(store_key(lineage.prefix, Key.ENTRIES)) == ring
    assert lineage.store.counters().excluded == 1


def test_excluding_twice_counts_once(lineage: Lineage) -> None:
    lineage.add(1, 2, 3)
    found = lineage.exclusion.examples(even)

    assert [lineage.exclusion.exclude(found), lineage.exclusion.exclude(found)] == [1, 0]
    assert lineage.store.counters().excluded == 1
    assert not len(lineage.exclusion.examples(even))


def test_a_slot_that_was_overwritten_meanwhile_is_left_alone(lineage: Lineage) -> None:
    lineage.add(1, 2, 3, 4)
    found = lineage.exclusion.examples(lambda _: True)
    lineage.add(5, 6)

    assert lineage.exclusion.exclude(found) == 2

    assert lineage.left() == [5, 6]
    assert lineage.priorities() == [1, 1, 0, 0]


def test_the_slot_of_an_excluded_example_is_used_again(lineage: Lineage) -> None:
    lineage.add(1, 2, 3, 4)
    lineage.exclusion.exclude(lineage.exclusion.examples(even))

    lineage.add(5, 6, 7)

    assert lineage.left() == [5, 6, 7]
    assert lineage.priorities() == [1, 1, 1, 0]
    assert (lineage.store.counters().evicted, lineage.store.counters().imbalances()) == (3, [])


@pytest.mark.parametrize("reason", [DecisionDrop.FORGOTTEN, DecisionDrop.OVERSIZED])
def test_a_window_that_is_taken_away_becomes_a_counted_drop_together_with_its_feedback(
    lineage: Lineage, reason: DecisionDrop
) -> None:
    lineage.decide(20, 21, thumbs=3)

    assert lineage.exclusion.forget(lineage.exclusion.windows(even), reason) == 1

    counters = lineage.store.counters()
    assert (counters.open, counters.waiting) == (1, 0)
    assert counters.decisions_dropped[reason] == 1
    assert counters.feedback_dropped[FeedbackDrop(reason)] == 3
    assert counters.imbalances() == []
    assert lineage.left() == [21]


def test_forgetting_twice_counts_once(lineage: Lineage) -> None:
    lineage.decide(20, thumbs=1)
    found = lineage.exclusion.windows(even)

    assert lineage.exclusion.forget([*found, *found]) == 1
    assert lineage.exclusion.forget(found) == 0
    assert lineage.store.counters().imbalances() == []


def test_feedback_that_comes_after_its_window_was_forgotten_is_an_orphan(lineage: Lineage) -> None:
    lineage.decide(20)
    lineage.exclusion.forget(lineage.exclusion.windows(even))
    claim = lineage.store.claim(PARTITION)
    late = Arrivals(30, 5, b"", "", [], (20).to_bytes(16), THUMB.pack(), {"feedback": 1})
    lineage.store.apply(PARTITION, claim, claim.next_offset + 1, late).result()

    commit(lineage.store, due_windows(lineage.store, 1).sequence, [], {})

    counters = lineage.store.counters()
    assert (counters.feedback_dropped[FeedbackDrop.ORPHAN], counters.waiting) == (1, 0)
    assert counters.imbalances() == []


def test_a_window_that_closed_meanwhile_is_an_example_and_no_window(lineage: Lineage) -> None:
    lineage.decide(20)
    found = lineage.exclusion.windows(even)
    lineage.add(21)

    assert lineage.exclusion.forget(found) == 0
    assert lineage.left() == [20, 21]
    assert lineage.exclusion.exclude(lineage.exclusion.examples(even)) == 1


def test_a_window_that_is_forgotten_between_its_listing_and_the_commit_makes_the_commit_stale(
    lineage: Lineage,
) -> None:
    lineage.decide(20, 21, watermark_ms=30)
    due = due_windows(lineage.store, 10)
    lineage.exclusion.forget(lineage.exclusion.windows(even))

    closed = [ClosedWindow(it.decision_key, 1.0, b"outcome") for it in due.windows]

    assert not commit(lineage.store, due.sequence, closed, {})
    assert [window.head for window in due_windows(lineage.store, 10).windows] == [b"21"]


def test_more_than_one_round_trip_finds_and_takes_out_everything(client: Redis, prefix: str) -> None:
    store, exclusion = ReplayStore(client, prefix), Exclusion(client, prefix)
    store.register({PARTITION: 0, QUIET: 0}, 2_000, 10_000)
    claim = store.claim(PARTITION)
    numbers = range(1, 1_201)
    keys = b"".join(number.to_bytes(16) for number in numbers)
    deadlines = "".join(f"{number:013d}" for number in numbers)
    payloads = [b"%d" % number for number in numbers]
    decided = Arrivals(5_000, 1, keys, deadlines, payloads, b"", b"", {"decisions": 1_200})
    store.apply(PARTITION, claim, 1, decided).result()
    assert exclusion.forget(exclusion.windows(even)) == 600

    store.apply(QUIET, store.claim(QUIET), 1, Arrivals(5_000, 1, b"", "", [], b"", b"", {})).result()
    due = due_windows(store, 2_000)
    commit(store, due.sequence, [ClosedWindow(it.decision_key, 1.0, b"outcome") for it in due.windows], {})

    assert exclusion.exclude(exclusion.examples(lambda _: True)) == 600
    assert client.hlen(store_key(prefix, Key.PAYLOADS)) == 0


def test_statistics_say_what_the_store_holds_and_whom_it_waits_for(client: Redis, prefix: str) -> None:
    lineage = Lineage(client, prefix)
    lineage.add(1, 2, 3)
    lineage.exclusion.exclude(lineage.exclusion.examples(even))
    lineage.decide(50, watermark_ms=10)
    lineage.store.register({QUIET: 7}, CAPACITY, 100)
    lineage.decide(60, watermark_ms=40)
    client.rpush(store_key(prefix, Key.ANCHORS), "anchor", "anchor")

    stats = read_stats(client, prefix)

    assert (stats.filled, stats.capacity, stats.anchors, stats.outbox) == (2, 4, 2, 1)
    assert stats.priorities == (1, 1, 1)
    assert (stats.counters.open, stats.counters.examples, stats.counters.excluded) == (2, 3, 1)
    assert [(it.name, it.next_offset, it.epoch, it.watermark_ms) for it in stats.partitions] == [
        ("t.decisions.v1[0]", 3, 3, 40),
        ("t.feedback.user.v1[0]", 7, 0, 10),
    ]
    assert (stats.watermark_ms, stats.holding_back) == (10, ["t.feedback.user.v1[0]"])
    assert stats.payload_bytes == len("1" + "3" + "50" + "60")
    assert stats.memory_bytes > stats.payload_bytes


def test_partitions_that_are_equally_far_hold_nothing_back(lineage: Lineage) -> None:
    stats = read_stats(lineage.client, lineage.prefix)

    assert stats.holding_back == []
    assert (stats.priorities, stats.filled, stats.payload_bytes) == (None, 0, 0)
