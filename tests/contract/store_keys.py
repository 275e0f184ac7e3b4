"""Looking at all keys of a store at once, and breaking them."""

from collections.abc import Collection

from redis import Redis

from ol0.replay.layout import SCRIPT_KEYS, Key, store_key

ALL_KEYS = (*SCRIPT_KEYS, Key.ANCHORS)  # the anchors are in no script


def contents(client: Redis, prefix: str, *, but: Collection[str] = ()) -> dict[str, bytes | None]:
    """Every key's bytes, by its name."""
    return {name: client.dump(store_key(prefix, name)) for name in ALL_KEYS if name not in but}


def break_type(client: Redis, prefix: str, name: str) -> None:
    """A list where no key is one but the anchors'."""
    client.delete(store_key(prefix, name))
    client.rpush(store_key(prefix, name), "wrong")
