"""How much memory a store may come to need, in bytes, and how many windows fit into what it has.

The scripts bound what is open (``max_open`` windows, eight entries of feedback for each) and what is learnt from (the
ring); the server's limit has to lie above that, or it refuses a script in the middle of normal work.
"""

import math
from dataclasses import dataclass
from typing import Final, Self

from ol0.config import Settings

MIB: Final = 1024**2
BYTES_PER_NUMBER: Final = 4  # float32; half of it for float16
ENVELOPE_BYTES: Final = 300  # of a decision, beside its features
# Beside its payload, on Valkey 9.1: 184 bytes without feedback, 605 with the eight entries that the budget allows.
WINDOW_BYTES: Final = 640
EXAMPLE_BYTES: Final = 160
MARGIN: Final = 1.2
"""For hash tables that grow, replies on their way out, and the outbox."""
MOST_OPEN: Final = 200_000
"""Open windows where nothing bounds them: 300 decisions a second with the default windows of 11 minutes."""
FEWEST_OPEN: Final = 1_000
"""Below it decisions would wait in Kafka at once: with the default windows, above three decisions in two seconds."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a store is asked to hold.

    Attributes:
        dimension: features of a decision.
        examples: slots of the ring, and the anchors beside it.
        max_open: open windows; None: as many as fit.
    """

    dimension: int
    examples: int
    max_open: int | None

    @classmethod
    def of(cls, settings: Settings, dimension: int) -> Self:
        """Of a lineage whose prompts have so many features."""
        learning = settings.online_learning
        return cls(dimension, learning.replay_size + learning.anchors, settings.streaming.max_open)

    def windows(self, limit_bytes: int) -> int:
        """How many windows may be open at once in a store of this size; 0 bytes: it has no limit.

        >>> Budget(384, 12_000, None).windows(1024**3), Budget(4_096, 12_000, None).windows(1024**3)
        (200000, 39980)
        """
        if self.max_open is not None or not limit_bytes:
            return self.max_open or MOST_OPEN
        left = limit_bytes / MARGIN - self.examples * (self._payload_bytes + EXAMPLE_BYTES)
        return max(0, min(MOST_OPEN, int(left / (self._payload_bytes + WINDOW_BYTES))))

    def needed_bytes(self, windows: int) -> int:
        """What a store takes when it holds so many windows and all examples.

        >>> Budget(375, 12_000, None).needed_bytes(200_000) // 1024**2
        585
        """
        open_bytes = windows * (self._payload_bytes + WINDOW_BYTES)
        return round((open_bytes + self.examples * (self._payload_bytes + EXAMPLE_BYTES)) * MARGIN)

    def shortage(self, limit_bytes: int) -> str | None:
        """Why this does not fit into a store of this size; None: it does. 0 bytes: it has no limit."""
        windows = self.max_open or FEWEST_OPEN
        needed = self.needed_bytes(windows)
        if not 0 < limit_bytes < needed:
            return None
        return (
            f"the replay store may hold {limit_bytes / MIB:,.0f} MiB (maxmemory), and {self.examples:,} examples and "
            f"{windows:,} open windows of {self.dimension:,} features come to need {math.ceil(needed / MIB):,} MiB"
        )

    @property
    def _payload_bytes(self) -> int:
        return self.dimension * BYTES_PER_NUMBER + ENVELOPE_BYTES
