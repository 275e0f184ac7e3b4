"""A script either does all of its work or nothing: also where a key is not what it should be, or is gone."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from redis import Redis

from contract.store_calls import commit, due_windows
from contract.store_keys import ALL_KEYS, break_type, contents
from ol0.errors import StoreError
from ol0.records import Partition
from ol0.replay.buffer import ReplayBuffer
from ol0.replay.exclusion import Exclusion
from ol0.replay.layout import SCRIPT_KEYS, Key, payload_field, store_key, user_key
from ol0.replay.protocol import Arrivals, Claim, ClosedWindow, Commit
from ol0.replay.registration import Admitted
from ol0.replay.script_runner import script_source
from ol0.replay.stats import read_stats
from ol0.replay.store import ReplayStore

PARTITION = Partition("t.decisions.v1", 0)
NEWCOMER = Partition("t.decisions.v1", 1)


def batch(watermark_ms: int, *numbers: int) -> Arrivals:
    """One decision for each number, whose window ends at that millisecond, and a thumb for each."""
    keys = b"".join(number.to_bytes(16) for number in numbers)
    thumb = bytes(48 - 12) + b"\0\0\0\0\0\0\0\0\0\0\0\1"
    return Arrivals(
        watermark_ms=watermark_ms,
        patience_ms=10,
        decision_keys=keys,
        deadlines="".join(f"{number:013d}" for number in numbers),
        payloads=[b"payload"] * len(numbers),
        targets=keys,
        feedback=thumb * len(numbers),
        counts={"decisions": len(numbers), "feedback": len(numbers)},
    )


class Calls:
    """One call of every script, each of which has something to write (or to say) in a store as ``ready`` leaves it."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self.store = ReplayStore(client, prefix)
        self.incarnation = self.store.register({PARTITION: 0}, 4, 100)
        self.claim = self.store.claim(PARTITION)
        self.exclusion = Exclusion(client, prefix)
        self.buffer = ReplayBuffer(client, prefix, self.incarnation, 0.5)
        self._ready()

    def _ready(self) -> None:
        """Three examples in the ring, one window that is due and one that is not, both with feedback."""
        self.store.apply(PARTITION, self.claim, 1, batch(3, 1, 2, 3)).result()
        due = due_windows(self.store, 10)
        closed = [ClosedWindow(window.decision_key, 1.0, b"outcome", user_key("ann")) for window in due.windows]
        commit(self.store, due.sequence, closed, {}, user_limit=5)
        self.claim = replace(self.claim, next_offset=1)
        self.store.apply(PARTITION, self.claim, 2, batch(8, 8, 20)).result()
        self.claim = replace(self.claim, next_offset=2)
        self.buffer.refresh()
        self.examples = self.exclusion.examples(lambda _: True)

    def register(self) -> None:
        self.store.register({PARTITION: 0, NEWCOMER: 0}, 4, 77)

    def admit(self) -> None:
        assert self.store.registration.admit(NEWCOMER, "topic", 0) is Admitted.NEW

    def bound(self) -> None:
        self.store.registration.bound(77)

    def skip(self) -> None:
        self.store.skip(PARTITION, self.claim, 7)

    def retire(self) -> None:
        self.store.registration.retire(PARTITION)

    def take_over(self) -> Claim:
        return self.store.claim(PARTITION)

    def apply(self) -> None:
        self.store.apply(PARTITION, self.claim, 3, batch(9, 30)).result()

    def due(self) -> None:
        due_windows(self.store, 10)

    def commit(self) -> None:
        closed = [ClosedWindow((8).to_bytes(16), 1.0, b"outcome", user_key("ann"))]
        assert self.store.turn(0, Commit(3, closed, {"feedback_used": 1}, 5)).result().due.sequence == 4

    def exclude(self) -> None:
        assert self.exclusion.exclude(self.examples) == 3

    def forget(self) -> None:
        assert self.exclusion.forget([payload_field(20, (20).to_bytes(16))]) == 1

    def refresh(self) -> None:
        self.buffer.refresh()

    def prioritise(self) -> None:
        self.buffer._ring.prioritise(np.array([0]), np.array([8.0], np.float32))
        self.buffer._ring.changed[0] = True
        self.buffer.flush()


SCRIPTS: dict[str, Callable[[Calls], object]] = {
    "register": Calls.register,
    "claim": Calls.take_over,
    "admit": Calls.admit,
    "retire": Calls.retire,
    "bound": Calls.bound,
    "skip": Calls.skip,
    "apply": Calls.apply,
    "due": Calls.due,
    "commit": Calls.commit,
    "exclude": Calls.exclude,
    "forget": Calls.forget,
    "refresh": Calls.refresh,
    "prioritise": Calls.prioritise,
}
READERS = {"due", "refresh"}


def test_every_script_is_swept() -> None:
    for name in SCRIPTS:
        assert script_source(name).startswith("#!lua flags=" + ("no-writes" if name in READERS else "allow-oom"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_in_a_whole_store_every_script_that_writes_does(client: Redis, prefix: str, script: str) -> None:
    calls = Calls(client, prefix)
    before = contents(client, prefix)

    SCRIPTS[script](calls)

    assert (contents(client, prefix) == before) == (script in READERS), "else the sweep below would prove nothing"


def refuses(client: Redis, prefix: str, calls: Calls, script: str, *words: str) -> None:
    """With a message that has the words in it, and before anything is written."""
    before = contents(client, prefix)
    with pytest.raises(StoreError) as refusal:
        SCRIPTS[script](calls)
    assert all(word in str(refusal.value) for word in words)
    assert contents(client, prefix) == before


@pytest.mark.parametrize("name", SCRIPT_KEYS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_key_of_the_wrong_type_stops_a_script_before_it_writes(
    client: Redis, prefix: str, script: str, name: str
) -> None:
    calls = Calls(client, prefix)
    break_type(client, prefix, name)

    refuses(client, prefix, calls, script, f"{store_key(prefix, name)} is a list, not a ", "ol0 replay rebuild")


RING_DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "longer": lambda ring: ring + b"more",
    "cut off": lambda ring: ring[:-1],
    "half": lambda ring: ring[: len(ring) // 2],
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("name", [Key.PRIORITIES, Key.ENTRIES])
@pytest.mark.parametrize("damage", RING_DAMAGE)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_ring_of_the_wrong_length_stops_a_script_before_it_writes(
    client: Redis, prefix: str, script: str, damage: str, name: str
) -> None:
    calls = Calls(client, prefix)
    ring = client.get(store_key(prefix, name))
    assert isinstance(ring, bytes)
    client.set(store_key(prefix, name), RING_DAMAGE[damage](ring))

    refuses(client, prefix, calls, script, "bytes, not", "ol0 replay rebuild")


TEXTS = {"incarnation", "frontier"}


@pytest.mark.parametrize("wrong", ["wrong", "", "1.5", "nan"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_field_of_meta_that_is_no_number_stops_a_script_before_it_writes(
    client: Redis, prefix: str, script: str, wrong: str
) -> None:
    calls, meta = Calls(client, prefix), store_key(prefix, Key.META)
    fields = cast("dict[bytes, bytes]", client.hgetall(meta))
    assert len(fields) >= 15, "head, sequences, sizes, counters, and of each partition its offset and epoch"
    for name, right in fields.items():
        if name.decode() not in TEXTS | ({"max_priority"} if wrong == "1.5" else set()):
            client.hset(meta, name, wrong)
            refuses(client, prefix, calls, script)
            client.hset(meta, name, right)


@pytest.mark.parametrize(
    "field",
    ["incarnation", "head", "sequence", "next_outcome", "capacity", "max_open", "max_priority", "count:waiting"],
)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_field_of_meta_that_is_missing_stops_a_script_before_it_writes(
    client: Redis, prefix: str, script: str, field: str
) -> None:
    calls = Calls(client, prefix)
    client.hdel(store_key(prefix, Key.META), field)

    refuses(client, prefix, calls, script, "ol0 replay rebuild")


@pytest.mark.parametrize("lost", ["next", "watermark"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_partition_of_which_half_is_lost_stops_every_script(
    client: Redis, prefix: str, script: str, lost: str
) -> None:
    # Else its next offset would begin anew, or windows would close without waiting for it.
    calls = Calls(client, prefix)
    calls.store.register({NEWCOMER: 0}, 4, 100)
    if lost == "watermark":
        client.hdel(store_key(prefix, Key.WATERMARKS), str(NEWCOMER))
    else:
        client.hdel(store_key(prefix, Key.META), f"next:{NEWCOMER}")

    refuses(client, prefix, calls, script, "watermarks of", "ol0 replay rebuild")


@pytest.mark.parametrize("wrong", ["wrong", "", "1.5", "nan"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_watermark_that_is_no_number_stops_a_script_before_it_writes(
    client: Redis, prefix: str, script: str, wrong: str
) -> None:
    calls = Calls(client, prefix)
    client.hset(store_key(prefix, Key.WATERMARKS), str(PARTITION), wrong)

    refuses(client, prefix, calls, script, "watermark")


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_its_meta_key_a_store_is_not_begun_anew_beside_what_is_left_of_it(
    client: Redis, prefix: str, script: str
) -> None:
    calls = Calls(client, prefix)
    client.delete(store_key(prefix, Key.META))

    refuses(client, prefix, calls, script, "ol0 replay rebuild")


@pytest.mark.parametrize("name", ALL_KEYS)
def test_reading_statistics_of_a_broken_store_is_an_error_in_words(client: Redis, prefix: str, name: str) -> None:
    Calls(client, prefix)
    client.delete(store_key(prefix, name))
    client.sadd(store_key(prefix, name), "wrong")

    if name in (Key.FEEDBACK, Key.WAITING, Key.USERS):  # only their memory is asked for
        read_stats(client, prefix)
    else:
        with pytest.raises(StoreError, match="reading statistics"):
            read_stats(client, prefix)


@pytest.mark.parametrize("name", [Key.PRIORITIES, Key.ENTRIES])
def test_a_ring_that_is_cut_off_is_an_error_in_words_for_whoever_reads_it_all(
    client: Redis, prefix: str, name: str
) -> None:
    calls = Calls(client, prefix)
    client.set(store_key(prefix, name), b"cut")

    with pytest.raises(StoreError, match="ol0 replay rebuild"):
        calls.exclusion.examples(lambda _: True)
    with pytest.raises(StoreError, match="ol0 replay rebuild"):
        read_stats(client, prefix)


@pytest.mark.parametrize("field", ["capacity", "count:outcomes", "count:feedback_late", f"next:{PARTITION}"])
def test_a_number_that_is_none_is_an_error_in_words_for_statistics(client: Redis, prefix: str, field: str) -> None:
    Calls(client, prefix)
    client.hset(store_key(prefix, Key.META), field, "wrong")

    with pytest.raises(StoreError, match="ol0 replay rebuild"):
        read_stats(client, prefix)
