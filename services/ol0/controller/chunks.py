"""Checkpoints that are too large for a record: a small reference to chunks that travel beside it.

A reference is all that a checkpoint's record needs to name it: the header of its file as it is, and the SHA-256 of
every chunk of the tensors behind it, in order. Chunks are cut at fixed places of the body, where all checkpoints of a
base have the same tensors: those of the base and of its hidden layers are the same chunks in every candidate, and are
written once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from typing import Final, Self

from ol0.controller.header import LENGTH, MAX_HEADER_BYTES
from ol0.errors import CheckpointError
from ol0.records import CHUNK_BYTES, Digest, brief

MAGIC: Final = b"OL0 chunks 1\n"
"""No safetensors file begins so: it would have a header of 10^18 bytes."""
INLINE_BYTES: Final = 900_000
"""Up to here a checkpoint is whole in its record. Three are in a serving state, and travel with each of its changes."""
MAX_BYTES: Final = 64_000_000
"""Of a whole checkpoint. Base and trunk are once in the broker, but once for each arm in the memory of a host."""
FIXED: Final = Struct("<32sQI")
"""SHA-256 of the whole, its bytes, and how many of them are the header with its length."""
NAME_BYTES: Final = 32

Fetch = Callable[[Digest], bytes | None]
"""The bytes of a chunk; None: there is no such chunk."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What stands in a record for a checkpoint that is in chunks.

    Attributes:
        digest: of the whole checkpoint.
        size: its bytes.
        header: the first of them, up to the tensors.
        chunks: digests of what follows, in order.
    """

    digest: Digest
    size: int
    header: bytes
    chunks: tuple[Digest, ...]

    def pack(self) -> bytes:
        """The bytes that ``unpack`` takes."""
        names = b"".join(map(bytes.fromhex, self.chunks))
        return MAGIC + FIXED.pack(bytes.fromhex(self.digest), self.size, len(self.header)) + self.header + names

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Reads a reference; the header in it is not looked at.

        Raises:
            CheckpointError: it is cut short, or its sizes contradict each other.
        """
        start = len(MAGIC) + FIXED.size
        if len(data) < start:
            raise CheckpointError(f"a reference to a checkpoint has {start} bytes at least, this one {len(data)}")
        digest, size, header = FIXED.unpack_from(data, len(MAGIC))
        if size > MAX_BYTES:
            raise CheckpointError(f"checkpoint {brief(digest.hex())} has {size} bytes; at most {MAX_BYTES} are taken")
        names = data[start + header :]
        count = chunk_count(size - header)
        if not LENGTH.size <= header <= min(size, LENGTH.size + MAX_HEADER_BYTES) or len(names) != count * NAME_BYTES:
            raise CheckpointError(
                f"the reference to checkpoint {brief(digest.hex())} names {len(names) / NAME_BYTES:g} chunks after a "
                f"header of {header} bytes; {size} bytes in all make {count}"
            )
        chunks = (Digest(names[at : at + NAME_BYTES].hex()) for at in range(0, len(names), NAME_BYTES))
        return cls(Digest(digest.hex()), size, data[start : start + header], tuple(chunks))


def is_reference(heads: bytes) -> bool:
    """Whether a record's heads only name a checkpoint."""
    return heads.startswith(MAGIC)


def chunks_of(heads: bytes) -> tuple[Digest, ...]:
    """Digests of the chunks that a record's heads name; none where it holds the checkpoint, or cannot be read."""
    if not is_reference(heads):
        return ()
    try:
        return Reference.unpack(heads).chunks
    except CheckpointError:
        return ()


def size_of(heads: bytes) -> int:
    """Bytes of the whole checkpoint that a record holds or names.

    Raises:
        CheckpointError: it names one, but the reference cannot be read.
    """
    return Reference.unpack(heads).size if is_reference(heads) else len(heads)


def chunk_count(body: int) -> int:
    """How many chunks so many bytes of tensors make."""
    return -(-body // CHUNK_BYTES)


def split(data: bytes) -> tuple[bytes, Mapping[Digest, bytes]]:
    """What a record holds of a checkpoint, and the chunks beside it: none for one that is small."""
    if len(data) <= INLINE_BYTES:
        return data, {}
    (length,) = LENGTH.unpack_from(data)
    start = LENGTH.size + length
    pieces = [data[at : at + CHUNK_BYTES] for at in range(start, len(data), CHUNK_BYTES)]
    names = tuple(Digest(sha256(piece).hexdigest()) for piece in pieces)
    reference = Reference(Digest(sha256(data).hexdigest()), len(data), data[:start], names)
    return reference.pack(), dict(zip(names, pieces, strict=True))


def join(heads: bytes, fetch: Fetch) -> bytes:
    """The whole checkpoint of a reference, once every chunk and the whole are what they were when it got its name.

    Raises:
        CheckpointError: a chunk is missing, of another size or digest, or all of them together are another checkpoint;
            names the chunk by its number.
    """
    reference = Reference.unpack(heads)
    pieces = [reference.header]
    for number, name in enumerate(reference.chunks):
        pieces.append(_verified(reference, number, name, fetch(name)))
    data = b"".join(pieces)
    if len(data) != reference.size or sha256(data).hexdigest() != reference.digest:
        raise CheckpointError(
            f"checkpoint {brief(reference.digest)}: its {len(reference.chunks)} chunks are there, but together they "
            f"are {brief(sha256(data).hexdigest())}: their order or the header was changed"
        )
    return data


def _verified(reference: Reference, number: int, name: Digest, chunk: bytes | None) -> bytes:
    """One chunk, as it should be."""
    count = len(reference.chunks)
    where = f"checkpoint {brief(reference.digest)}: chunk {number + 1} of {count}"
    if chunk is None:
        raise CheckpointError(f"{where} ({brief(name)}) is missing")
    rest = reference.size - len(reference.header) - number * CHUNK_BYTES
    if len(chunk) != min(rest, CHUNK_BYTES):
        raise CheckpointError(f"{where} has {len(chunk)} bytes, not {min(rest, CHUNK_BYTES)}")
    if (found := sha256(chunk).hexdigest()) != name:
        raise CheckpointError(f"{where} is {brief(found)}, not {brief(name)}: its bytes were changed")
    return chunk
