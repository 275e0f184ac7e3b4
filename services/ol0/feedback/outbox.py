"""Outcomes on their way: messages put one behind the other, as the store's outbox keeps those of a commit."""

import struct
from collections.abc import Iterator
from typing import Final, TypeAlias

LENGTHS: Final = struct.Struct(">II")  # of the key and of the value, before each message

Message: TypeAlias = tuple[bytes, bytes]


def pack_message(key: bytes, value: bytes) -> bytes:
    """A message as one piece; pieces put one behind the other are a batch."""
    return LENGTHS.pack(len(key), len(value)) + key + value


def unpack_messages(batch: bytes) -> Iterator[Message]:
    """All messages of a batch, in their order."""
    at = 0
    while at < len(batch):
        key_bytes, value_bytes = LENGTHS.unpack_from(batch, at)
        value_at = at + LENGTHS.size + key_bytes
        at = value_at + value_bytes
        yield batch[value_at - key_bytes : value_at], batch[value_at:at]
