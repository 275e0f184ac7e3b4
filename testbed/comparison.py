"""What the reference expects, as the bytes that the store holds."""

from collections.abc import Iterable

import numpy as np

from ol0.replay.layout import decision_key, payload_field
from testbed.reference_store import Closed

ENTRY_BYTES = 33


def field_of(closed: Closed) -> bytes:
    """Under which the payload of a decision lies."""
    return payload_field(closed.deadline_ms, decision_key(closed.decision.decision_id))


def ring_of(examples: Iterable[Closed], capacity: int) -> bytes:
    """The ring's entries after these examples, the first of them in slot 0."""
    ring = bytearray(capacity * ENTRY_BYTES)
    for number, example in enumerate(examples):
        slot = number % capacity * ENTRY_BYTES
        ring[slot : slot + ENTRY_BYTES] = field_of(example) + np.float32(example.reward.value).tobytes()
    return bytes(ring)
