"""Anchors: examples of what the base does well, put in at warm-up and never evicted by live traffic."""

import struct
from collections.abc import Sequence
from typing import Final, TypeAlias, cast

from redis import Redis

from ol0.errors import StoreError
from ol0.replay.layout import Key, store_key
from ol0.replay.script_runner import store_errors

REWARD: Final = struct.Struct("<f")

Anchor: TypeAlias = tuple[bytes, float]


class AnchorStore:
    """The anchors of one lineage: payloads with rewards 0..1 (kept as float32)."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self._client = client
        self._key = store_key(prefix, Key.ANCHORS)
        self._draft = store_key(prefix, Key.ANCHORS_DRAFT)

    def anchors(self) -> list[Anchor]:
        """All anchors, in the order in which they were added."""
        with store_errors("LRANGE"):
            items = cast("list[bytes]", self._client.lrange(self._key, 0, -1))
        return [(item[REWARD.size :], REWARD.unpack_from(item)[0]) for item in items]

    def add_anchors(self, anchors: Sequence[Anchor]) -> None:
        """Puts anchors in where there are none. The same anchors once more are fine: a warm-up may be repeated.

        Raises:
            StoreError: there are other anchors already.
        """
        if not anchors:
            return
        items = [REWARD.pack(reward) + payload for payload, reward in anchors]
        pipeline = self._client.pipeline(transaction=True)  # all or nothing, and safe to repeat after a lost reply
        pipeline.delete(self._draft)
        pipeline.rpush(self._draft, *items)
        pipeline.renamenx(self._draft, self._key)
        pipeline.delete(self._draft)
        pipeline.lrange(self._key, 0, -1)
        with store_errors("adding anchors"):
            found = pipeline.execute()[-1]
        if found != items:
            raise StoreError(
                f"{self._key} holds {len(found)} other anchors: they belong to the base of this lineage; take another "
                "kafka.topic_prefix for another base"
            )
