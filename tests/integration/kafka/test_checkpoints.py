"""Checkpoints in chunks, through a real broker."""

from collections.abc import Collection
from dataclasses import replace
from threading import Timer

import numpy as np
import pytest

from ol0.controller.checkpoint import digest_of, write_checkpoint
from ol0.controller.chunks import MAX_BYTES, Reference, chunks_of, split
from ol0.controller.controller import Manifest
from ol0.controller.heads import Head, Mixer
from ol0.errors import CheckpointError
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.record_sender import RecordSender
from ol0.kafka.topic_readers import checkpoints
from ol0.kafka.topic_readers.checkpoints import CheckpointReader, read_chunks
from ol0.kafka.topic_readers.compacted_reader import CompactedReader
from ol0.kafka.transactional_writer import TransactionalWriter
from ol0.records import Candidate, Chunk, Digest
from support.examples import TIME_MS
from support.kafka_log import put_bytes, read_records

TIMEOUT_S = 30.0


def a_checkpoint(choices: int, features: int) -> bytes:
    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=(choices, features)).astype(np.float32), np.zeros(choices, np.float32))
    manifest = Manifest(None, None, 0, ("expert",), 0.1)
    return write_checkpoint(manifest, (head,), (head,), Mixer.closed(features))


DATA = a_checkpoint(64, 4_096)
HEADS, CHUNKS = split(DATA)
DIGEST = digest_of(DATA)
FIRST = chunks_of(HEADS)[0]


def send(lineage: Lineage, *names: Digest) -> None:
    RecordSender(lineage).send_all([Chunk(name, CHUNKS[name]) for name in names])


def test_a_checkpoint_of_64_megabytes_is_written_in_one_transaction_and_opens_from_its_record(
    lineage: Lineage,
) -> None:
    data = a_checkpoint(1_950, 4_096)
    assert 0.99 * MAX_BYTES < len(data) <= MAX_BYTES
    heads, chunks = split(data)
    digest = digest_of(data)
    writer = TransactionalWriter("learner", lineage)
    writer.init()
    writer.write([*(Chunk(*it) for it in chunks.items()), Candidate(digest, digest, digest, 0, TIME_MS, heads, {})])
    (candidate,) = read_records(lineage, "candidates")
    assert isinstance(candidate, Candidate)
    assert CheckpointReader(lineage)(candidate.heads, candidate.digest).digest == digest


def test_a_chunk_that_is_not_there_is_missing_by_its_number_until_it_is(lineage: Lineage) -> None:
    opener = CheckpointReader(lineage)
    send(lineage, *chunks_of(HEADS)[:2])
    with pytest.raises(CheckpointError, match=r"chunk 3 of 3 .* is missing"):
        opener(HEADS, DIGEST)
    send(lineage, chunks_of(HEADS)[2])
    assert opener(HEADS, DIGEST).digest == DIGEST


def test_chunks_of_a_transaction_that_is_under_way_are_waited_for(lineage: Lineage) -> None:
    # Given a candidate that is seen, and its chunks in the same transaction, whose end has not come to their topic.
    topic = lineage.topics.full("tensors")
    producer = lineage.clients.transactional_producer("learner", lineage.clients.log_error)
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    for name, chunk in CHUNKS.items():
        producer.produce(topic, lineage.codec.encode(Chunk(name, chunk)), name.encode())
    assert producer.flush(TIMEOUT_S) == 0
    # When it is opened, then that waits for the end.
    Timer(1.0, producer.commit_transaction, (TIMEOUT_S,)).start()
    assert CheckpointReader(lineage)(HEADS, DIGEST).digest == DIGEST


def test_bytes_that_are_not_what_their_name_says_neither_pass_for_a_chunk_nor_replace_one(lineage: Lineage) -> None:
    forged = lineage.codec.encode_valid(Chunk(FIRST, CHUNKS[FIRST][::-1]))
    put_bytes(lineage, "tensors", forged, FIRST.encode())
    assert read_chunks(lineage, {FIRST}) == {}
    send(lineage, *CHUNKS)
    put_bytes(lineage, "tensors", forged, FIRST.encode())
    assert CheckpointReader(lineage)(HEADS, DIGEST).digest == DIGEST


def test_a_chunk_without_data_deletes_it_from_the_topic(lineage: Lineage) -> None:
    send(lineage, *CHUNKS)
    RecordSender(lineage).send_all([Chunk(FIRST, b"")])
    with CompactedReader("tensors", lineage) as reader:
        assert reader.read_to_end(TIMEOUT_S).keys() == CHUNKS.keys() - {FIRST}


def test_what_was_opened_before_is_not_read_again_and_what_is_misnamed_not_even_once(
    lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(lineage, *CHUNKS)
    opener = CheckpointReader(lineage)
    first = opener(HEADS, DIGEST)
    reference = Reference.unpack(HEADS)
    turned = replace(reference, chunks=(*reference.chunks[1::-1], *reference.chunks[2:]))
    with pytest.raises(CheckpointError, match="its 3 chunks are there, but together they are"):
        opener(turned.pack(), DIGEST)

    def refuse(_: Lineage, names: Collection[Digest]) -> None:
        pytest.fail(f"{len(names)} chunks were read again")

    monkeypatch.setattr(checkpoints, "read_chunks", refuse)
    assert opener(HEADS, DIGEST) is first
    with pytest.raises(CheckpointError, match=f"checkpoint is {DIGEST[:12]}, not eeeeeeeeeeee: its bytes were changed"):
        opener(HEADS, Digest("e" * 64))
