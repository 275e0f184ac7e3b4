"""Stores of earlier versions, whose keys were letters: they are renamed when they are opened."""

from typing import Final

import structlog
from redis import Redis
from redis.exceptions import WatchError

from ol0.errors import StoreError
from ol0.replay.layout import Key, store_key
from ol0.replay.script_runner import store_errors

LETTERS: Final = dict(zip("mwofdgpixua", (key for key in Key if key is not Key.ANCHORS_DRAFT), strict=True))


def older_meta(prefix: str) -> str:
    """The key that a store of an earlier version always has."""
    return store_key(prefix, "m")


def older_keys(prefix: str) -> list[str]:
    """All keys of an earlier version but its anchors, which are not on the logs."""
    return [store_key(prefix, letter) for letter, key in LETTERS.items() if key is not Key.ANCHORS]


def rename_letters(client: Redis, prefix: str) -> bool:
    """Gives the keys of an earlier version today's names, all in one transaction; a store of today is left alone.

    Processes of the earlier version find no store after that and end. The two versions must not run side by side.

    Returns:
        Whether there were any.

    Raises:
        StoreError: keys of both versions are there, or the store is out of reach.
    """
    with store_errors("RENAMENX"):
        return _rename(client, prefix)


def _rename(client: Redis, prefix: str) -> bool:
    letters = {store_key(prefix, letter): store_key(prefix, key) for letter, key in LETTERS.items()}
    with client.pipeline() as pipeline:
        pipeline.watch(*letters, *letters.values())  # type: ignore[no-untyped-call]
        if pipeline.exists(store_key(prefix, Key.META)) or not pipeline.exists(older_meta(prefix)):
            return False
        found = {letter: name for letter, name in letters.items() if pipeline.exists(letter)}
        anchors = store_key(prefix, Key.ANCHORS)  # a warm-up may have written newer ones already
        if both := [name for name in letters.values() if name != anchors and pipeline.exists(name)]:
            raise StoreError(f"{', '.join(both)}: there beside the keys of an earlier version; `ol0 replay rebuild`")
        pipeline.multi()
        for letter, name in found.items():
            pipeline.renamenx(letter, name)
            pipeline.delete(letter)
        try:
            pipeline.execute()
        except WatchError:  # another process was faster
            return False
    structlog.get_logger("ol0.store").info("renamed the keys of an earlier version", prefix=prefix, keys=len(found))
    return True
