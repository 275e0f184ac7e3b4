"""A store that is emptied, to be filled from the logs."""

import secrets
from collections.abc import Mapping
from contextlib import suppress

from redis import Redis

from ol0.errors import StoreError
from ol0.records import Partition
from ol0.replay.layout import SCRIPT_KEYS, Key, store_key
from ol0.replay.letters import older_keys, rename_letters
from ol0.replay.protocol import Published
from ol0.replay.script_runner import Scripts, store_errors


def rebuild_store(
    client: Redis,
    prefix: str,
    *,
    starts: Mapping[Partition, int],
    capacity: int,
    max_open: int,
    published: Published | None,
    next_outcome: int,
) -> None:
    """Empties the store in one step, whatever it held.

    Anchors stay: they are not on the logs. Processes that worked with the store before find another incarnation and
    end.

    Args:
        client: from ``connection.connect``.
        prefix: key prefix of the lineage.
        starts: first offset that the log has, of every source partition.
        capacity: slots of the ring.
        max_open: as ``ReplayStore.register``.
        published: the newest outcome on the log. Windows up to this one close again, and fill the ring, but their
            outcomes are not sent a second time. None: no outcome yet.
        next_outcome: number of the first outcome that is sent.

    Raises:
        StoreError: the store is out of reach.
    """
    with suppress(StoreError):  # keys of both versions: a rebuild is the remedy. Out of reach is told below
        rename_letters(client, prefix)
    flat = [word for partition, start in starts.items() for word in (str(partition), start)]
    pipeline = client.pipeline(transaction=True)
    pipeline.delete(*(store_key(prefix, name) for name in SCRIPT_KEYS), *older_keys(prefix))
    register = Scripts(client, prefix).command("register", secrets.token_hex(8), capacity, max_open, *flat)
    pipeline.execute_command(*register)  # type: ignore[no-untyped-call]
    meta = store_key(prefix, Key.META)
    pipeline.hset(meta, "next_outcome", str(next_outcome))
    if published is not None:
        pipeline.hset(meta, "frontier", published.field)
    with store_errors("rebuild"):
        _, (status, *_), *_ = pipeline.execute()
    assert status == b"OK", "there is nothing left that it could refuse"
