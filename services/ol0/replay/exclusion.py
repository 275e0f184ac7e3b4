"""Removes what must not be learnt from: examples of the ring, and open windows."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from redis import Redis

from ol0.replay.counters import DecisionDrop
from ol0.replay.layout import PRIORITY, REMOVAL, RING_ENTRY, Key, payload_field, store_key
from ol0.replay.script_runner import Argument, Scripts, damaged, store_errors, taken

FETCH: Final = 500  # payloads a round trip: under a megabyte

Matches: TypeAlias = Callable[[bytes], bool]
"""Whether a payload is one of those that are meant."""
Removals: TypeAlias = NDArray[np.void]
"""``REMOVAL``: a slot, and the example that was found in it."""


class Exclusion:
    """Finds examples and open windows by their payloads, and takes them out.

    Finding and taking out are two steps, and the store moves on between them: what is not there any more is left alone.
    Who wants all of one kind looks for windows first, then for examples: a window may close in between.
    """

    def __init__(self, client: Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._scripts = Scripts(client, prefix)

    def examples(self, matches: Matches) -> Removals:
        """Examples of the ring, shape (n,). Reads every payload of the ring once.

        Raises:
            StoreError: the store is damaged or out of reach.
        """
        pipeline = self._client.pipeline(transaction=True)
        pipeline.get(store_key(self._prefix, Key.PRIORITIES))
        pipeline.get(store_key(self._prefix, Key.ENTRIES))
        with store_errors("GET"):
            priorities, entries = pipeline.execute()
        if len(priorities or b"") * RING_ENTRY.itemsize != len(entries or b"") * PRIORITY.itemsize:
            what = f"{len(priorities or b''):,} bytes of priorities, {len(entries or b''):,} of entries"
            raise damaged(store_key(self._prefix, "*"), what)
        slots = np.flatnonzero(np.frombuffer(priorities or b"", PRIORITY))
        found = np.zeros(len(slots), REMOVAL)
        found["slot"] = slots
        found["field"] = np.frombuffer(entries or b"", RING_ENTRY)["field"][slots]
        payloads = self._payloads(found["field"].tolist())
        return found[[payload is not None and matches(payload) for payload in payloads]]

    def exclude(self, examples: Removals) -> int:
        """Takes examples out of the ring for good; their slots stay empty until newer examples take them over.

        Returns:
            How many were still there.

        Raises:
            StoreError: the store is damaged or out of reach.
        """
        return sum(self._run("exclude", examples[at : at + FETCH].tobytes()) for at in range(0, len(examples), FETCH))

    def windows(self, matches: Matches) -> list[bytes]:
        """Fields of the open windows. Reads the payload of every open window once.

        Raises:
            StoreError: the store is out of reach.
        """
        with store_errors("ZSCAN"):
            members = list(self._client.zscan_iter(store_key(self._prefix, Key.OPEN), count=FETCH))
        fields = sorted({payload_field(int(deadline), key) for key, deadline in members})
        pairs = zip(fields, self._payloads(fields), strict=True)
        return [field for field, payload in pairs if payload is not None and matches(payload)]

    def forget(self, windows: Sequence[bytes], reason: DecisionDrop = DecisionDrop.FORGOTTEN) -> int:
        """Takes open windows away, with the feedback that waits in them: counted drops, no outcomes.

        Args:
            windows: their fields.
            reason: under which they are counted.

        Returns:
            How many were still open.

        Raises:
            StoreError: the store is damaged or out of reach.
        """
        return sum(
            self._run("forget", b"".join(windows[at : at + FETCH]), reason) for at in range(0, len(windows), FETCH)
        )

    def _payloads(self, fields: Sequence[bytes]) -> Iterator[bytes | None]:
        for at in range(0, len(fields), FETCH):
            with store_errors("HMGET"):
                payloads = self._client.hmget(store_key(self._prefix, Key.PAYLOADS), list(fields[at : at + FETCH]))
            yield from cast("list[bytes | None]", payloads)

    def _run(self, name: str, *arguments: Argument) -> int:
        return cast("int", taken(self._scripts.call(name, *arguments), store_key(self._prefix, "*"))[0])
