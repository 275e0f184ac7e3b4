"""Partitions of which a consumer gives nothing, though the log has more."""

import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka.admin import AdminClient

from ol0.kafka.logs.offsets import AskedOffsets, Which
from ol0.records import Partition

STALL_S: Final = 30.0
"""Silence after which one asks whether there is more to read: one small question, of quiet partitions alone."""


class StallWatch:
    """Asks the broker about partitions that have been silent, and waits for no answer.

    After brokers had died it was seen that a consumer went on with most of its partitions, and of one said nothing any
    more: no record, no end, no error. Whoever waits for it waits for ever.
    """

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin
        self._heard_at: dict[Partition, float] = {}
        self._asked: AskedOffsets | None = None

    def heard(self, place: Partition) -> None:
        """The partition has brought a record, or said that this is its end."""
        self._heard_at[place] = time.monotonic()

    def stalled(self, positions: Mapping[Partition, int]) -> list[Partition]:
        """Those that are silent and have records behind their position that may be read: open transactions have none.

        Args:
            positions: the next offset of every partition that is read.
        """
        if self._asked is None:
            self._ask(positions)
            return []
        if not self._asked.answered:
            return []
        asked, self._asked = self._asked, None
        ends = asked.known()
        for place in ends:
            self.heard(place)  # it has as long again
        # Nothing is known while a broker is away, which reading says by itself.
        return [place for place, end in ends.items() if end is not None and end > positions.get(place, end)]

    def _ask(self, positions: Mapping[Partition, int]) -> None:
        now = time.monotonic()
        quiet = [place for place in positions if now - self._heard_at.setdefault(place, now) >= STALL_S]
        if quiet:
            self._asked = AskedOffsets(Which.STABLE, self._admin, quiet)
