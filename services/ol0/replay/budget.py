"""How much memory a store may come to need, in bytes.

The scripts bound what is open (``max_open`` windows, eight entries of feedback for each) and what is learnt from (the
ring); the server's limit has to lie above that, or it refuses a script in the middle of normal work.
"""

from typing import Final

# Beside its payload, on Valkey 9.1: 184 bytes without feedback, 605 with the eight entries that the budget allows.
WINDOW_BYTES: Final = 640
EXAMPLE_BYTES: Final = 160
MARGIN: Final = 1.2
"""For hash tables that grow, replies on their way out, and the outbox."""


def largest_store_bytes(max_open: int, capacity: int, anchors: int, payload_bytes: int) -> int:
    """What a store takes when its budget is used up.

    Args:
        max_open: open windows.
        capacity: slots of the ring.
        anchors: examples beside it.
        payload_bytes: of one decision.

    >>> largest_store_bytes(200_000, 10_000, 2_000, 1_800) // 1024**2
    586
    """
    windows, examples = (
        max_open * (payload_bytes + WINDOW_BYTES),
        (capacity + anchors) * (payload_bytes + EXAMPLE_BYTES),
    )
    return round((windows + examples) * MARGIN)
