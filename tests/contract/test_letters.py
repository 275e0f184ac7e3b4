"""A store of an earlier version, whose keys were letters, is found and keeps everything."""

import pytest
from redis import Redis

from contract.store_calls import DECISIONS, arrivals
from contract.store_keys import ALL_KEYS, contents
from ol0.errors import StoreError
from ol0.replay.layout import Key, store_key
from ol0.replay.letters import LETTERS, rename_letters
from ol0.replay.rebuild import rebuild_store
from ol0.replay.store import ReplayStore


def test_a_store_with_letters_is_renamed_when_it_is_attached_to_and_keeps_every_byte(
    client: Redis, prefix: str, store: ReplayStore
) -> None:
    # Given a store with something in it, and its anchors, under the names of an earlier version
    store.apply(DECISIONS, store.claim(DECISIONS), 6, arrivals(100, 1)).result()
    client.rpush(store_key(prefix, Key.ANCHORS), "anchor")
    before = contents(client, prefix)
    in_letters(client, prefix)
    assert all(value is None for value in contents(client, prefix).values())
    # When a process of this version attaches to it
    incarnation = ReplayStore(client, prefix).attach()
    # Then it is that store
    assert incarnation == store.incarnation
    assert contents(client, prefix) == before
    assert client.exists(*(store_key(prefix, letter) for letter in LETTERS)) == 0
    # And a second look changes nothing
    assert not rename_letters(client, prefix)


def test_a_store_of_today_is_never_touched_by_letters_beside_it(client: Redis, prefix: str, store: ReplayStore) -> None:
    assert store.exists()
    client.hset(store_key(prefix, "m"), "incarnation", "older")
    before = contents(client, prefix)
    assert not rename_letters(client, prefix)
    assert contents(client, prefix) == before


def in_letters(client: Redis, prefix: str) -> None:
    for letter, key in LETTERS.items():
        if client.exists(store_key(prefix, key)):
            client.rename(store_key(prefix, key), store_key(prefix, letter))


def test_newer_anchors_stay_and_the_older_ones_go(client: Redis, prefix: str, store: ReplayStore) -> None:
    client.rpush(store_key(prefix, Key.ANCHORS), "older")
    in_letters(client, prefix)
    client.rpush(store_key(prefix, Key.ANCHORS), "newer")
    assert store.exists()
    store.attach()
    assert client.lrange(store_key(prefix, Key.ANCHORS), 0, -1) == [b"newer"]
    assert client.exists(*(store_key(prefix, letter) for letter in LETTERS)) == 0


def test_keys_of_both_versions_are_an_error_that_changes_nothing(
    client: Redis, prefix: str, store: ReplayStore
) -> None:
    assert store.exists()
    in_letters(client, prefix)
    client.hset(store_key(prefix, Key.PAYLOADS), "a", "b")
    with pytest.raises(StoreError, match=r"payloads: there beside the keys of an earlier version"):
        rename_letters(client, prefix)
    assert client.exists(store_key(prefix, "m")) == 1


def test_a_rebuild_ends_keys_of_both_versions(client: Redis, prefix: str, store: ReplayStore) -> None:
    assert store.exists()
    in_letters(client, prefix)
    client.hset(store_key(prefix, Key.PAYLOADS), "a", "b")
    rebuild_store(client, prefix, starts={DECISIONS: 5}, capacity=4, max_open=3, published=None, next_outcome=0)
    assert client.exists(*(store_key(prefix, letter) for letter in LETTERS), store_key(prefix, Key.PAYLOADS)) == 0
    assert ReplayStore(client, prefix).attach()


def test_asking_whether_there_is_a_store_changes_nothing(client: Redis, prefix: str, store: ReplayStore) -> None:
    assert store.exists()
    in_letters(client, prefix)
    assert store.exists()
    assert client.exists(store_key(prefix, "m")) == 1


def test_every_key_has_its_letter() -> None:
    assert set(LETTERS.values()) == set(ALL_KEYS)
