from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from random import Random

import numpy as np
import pytest

from ol0.controller.checkpoint import digest_of, read_checkpoint, write_checkpoint
from ol0.controller.chunks import (
    INLINE_BYTES,
    MAX_BYTES,
    Reference,
    chunk_count,
    chunks_of,
    is_reference,
    join,
    size_of,
    split,
)
from ol0.controller.controller import Manifest
from ol0.controller.header import LENGTH
from ol0.controller.heads import Head, Mixer
from ol0.errors import CheckpointError
from ol0.records import CHUNK_BYTES, Digest

D, K = 120_000, 4


def a_checkpoint(step: int = 0, features: int = D) -> bytes:
    """Base heads of 1.9 MB, learnt ones of as many, and a mixer of a quarter of that."""
    rng = np.random.default_rng(step)
    base = Head(np.random.default_rng(7).normal(size=(K, features)).astype(np.float32), np.zeros(K, np.float32))
    learnt = Head(rng.normal(size=(K, features)).astype(np.float32), np.zeros(K, np.float32))
    return write_checkpoint(Manifest(None, None, step, ("expert",), 0.1), (base,), (learnt,), Mixer.closed(features))


DATA = a_checkpoint()
HEADS, CHUNKS = split(DATA)
REFERENCE = Reference.unpack(HEADS)
COUNT = len(REFERENCE.chunks)


def with_chunk(number: int, chunk: bytes | None) -> Mapping[Digest, bytes]:
    """What is on the log where the chunk of this number is another one, or none."""
    name = REFERENCE.chunks[number]
    return {**CHUNKS, name: chunk} if chunk is not None else {it: data for it, data in CHUNKS.items() if it != name}


def test_a_large_checkpoint_comes_back_bit_for_bit_from_a_small_record() -> None:
    assert len(HEADS) < 2_000
    assert join(HEADS, CHUNKS.get) == DATA
    assert size_of(HEADS) == len(DATA)
    assert chunks_of(HEADS) == REFERENCE.chunks
    assert {digest: sha256(chunk).hexdigest() for digest, chunk in CHUNKS.items()} == {it: it for it in CHUNKS}
    assert [len(CHUNKS[it]) for it in REFERENCE.chunks[:-1]] == [CHUNK_BYTES] * (COUNT - 1)


def test_a_small_checkpoint_is_in_its_record_as_ever() -> None:
    small = a_checkpoint(features=1_000)
    assert split(small) == (small, {})
    assert not is_reference(small)
    assert (chunks_of(small), size_of(small)) == ((), len(small))
    assert len(split(a_checkpoint(features=INLINE_BYTES // 36 + 1))[1]) == 2


def test_candidates_have_the_chunks_of_their_base_in_common() -> None:
    steps = [set(chunks_of(split(a_checkpoint(step))[0])) for step in range(3)]
    for one, other in pairwise(steps):
        assert len(one & other) >= 2  # of 1.9 MB


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        (with_chunk(2, None), rf"chunk 3 of {COUNT} \([0-9a-f]{{12}}\) is missing"),
        (with_chunk(2, CHUNKS[REFERENCE.chunks[2]][:-1]), rf"chunk 3 of {COUNT} has 899999 bytes, not 900000"),
        (with_chunk(2, CHUNKS[REFERENCE.chunks[2]] + b"x"), rf"chunk 3 of {COUNT} has 900001 bytes, not 900000"),
        (with_chunk(COUNT - 1, bytes(CHUNK_BYTES)), rf"chunk {COUNT} of {COUNT} has 900000 bytes, not "),
        (with_chunk(0, CHUNKS[REFERENCE.chunks[1]]), rf"chunk 1 of {COUNT} is .*, not .*: its bytes were changed"),
        ({}, rf"chunk 1 of {COUNT} .* is missing"),
    ],
)
def test_a_chunk_that_is_not_what_it_should_be_is_named_by_its_number(
    found: Mapping[Digest, bytes], complaint: str
) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        join(HEADS, found.get)


@pytest.mark.parametrize(
    "changed",
    [
        replace(REFERENCE, chunks=(REFERENCE.chunks[1], REFERENCE.chunks[0], *REFERENCE.chunks[2:])),
        replace(REFERENCE, chunks=(REFERENCE.chunks[0], *REFERENCE.chunks[:-1])),
        replace(REFERENCE, header=REFERENCE.header.replace(b'\\"step\\": 0', b'\\"step\\": 1')),
        replace(REFERENCE, digest=Digest("a" * 64)),
    ],
    ids=["reordered", "one twice", "another header", "another name"],
)
def test_chunks_that_together_are_another_checkpoint_are_refused(changed: Reference) -> None:
    assert changed != REFERENCE
    with pytest.raises(CheckpointError, match=r"together they are|chunk \d of"):
        join(changed.pack(), CHUNKS.get)


@pytest.mark.parametrize(
    ("heads", "complaint"),
    [
        (HEADS[:40], "a reference to a checkpoint has 57 bytes at least, this one 40"),
        (HEADS[:-32], f"names {COUNT - 1} chunks .* make {COUNT}"),
        (HEADS + bytes(32), f"names {COUNT + 1} chunks .* make {COUNT}"),
        (HEADS[:-1], "names 4.96875 chunks"),
        (replace(REFERENCE, size=MAX_BYTES + 1).pack(), f"has {MAX_BYTES + 1} bytes; at most {MAX_BYTES} are taken"),
        (replace(REFERENCE, size=2**63).pack(), f"at most {MAX_BYTES} are taken"),
        (replace(REFERENCE, header=bytes(70_000)).pack(), "after a header of 70000 bytes"),
        (replace(REFERENCE, header=b"", size=0, chunks=()).pack(), "after a header of 0 bytes"),
        (replace(REFERENCE, header=bytes(60_000), size=50_000, chunks=()).pack(), "after a header of 60000 bytes"),
    ],
)
def test_a_reference_whose_sizes_contradict_each_other_is_refused(heads: bytes, complaint: str) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        Reference.unpack(heads)
    with pytest.raises(CheckpointError):
        join(heads, lambda _: pytest.fail("a chunk was fetched"))
    assert chunks_of(heads) == ()


def test_where_there_is_no_kafka_a_reference_is_refused_as_what_it_is() -> None:
    with pytest.raises(CheckpointError, match="its chunks are in Kafka"):
        read_checkpoint(HEADS, REFERENCE.digest)


def test_no_checkpoint_that_is_taken_needs_a_record_of_more_than_a_tenth_of_what_may_be_inline() -> None:
    body = Random(0).randbytes(MAX_BYTES - 65_544)
    header = LENGTH.pack(65_536) + bytes(65_536)
    heads, chunks = split(header + body)
    assert len(chunks) == chunk_count(len(body)) == 72
    assert len(heads) < INLINE_BYTES / 10
    assert digest_of(join(heads, chunks.get)) == Reference.unpack(heads).digest
