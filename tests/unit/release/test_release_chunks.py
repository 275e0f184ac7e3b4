"""Chunks on ``tensors`` are deleted with the last thing that refers to them, and not before."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from ol0.controller import chunks
from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.chunks import chunks_of, is_reference, join, split
from ol0.controller.controller import Controller
from ol0.records import Candidate, Chunk, Digest, Gate, Judgement, OperatorKind, Phase, Record, Transition
from ol0.release.handler import ReleaseHandler
from unit.release.lineage import BASE, CONFIG, LIVE_STAGE, Lineage, a_candidate, a_verdict, an_order

KEPT = 3


class Chunked(Lineage):
    """A lineage whose checkpoints are all in chunks, and what is on ``tensors``."""

    def __init__(self) -> None:
        self.tensors: dict[Digest, bytes] = {}
        self.handler = ReleaseHandler(CONFIG, KEPT, opener=self.open)
        self.time_ms = 1
        self.offer(BASE)
        self.approve(BASE)

    def open(self, heads: bytes, expected: Digest | None) -> Controller:
        return read_checkpoint(join(heads, self.tensors.get), expected)

    def offer(self, candidate: Candidate) -> None:
        if not is_reference(candidate.heads):
            candidate = self.written(candidate)
        self.give(candidate)

    def written(self, candidate: Candidate) -> Candidate:
        """As the learner writes it: its chunks first."""
        heads, found = split(candidate.heads)
        self.tensors |= found
        return replace(candidate, heads=heads)

    def approve(self, candidate: Candidate) -> None:
        for gate in Gate:
            self.give(a_verdict(candidate, gate, time_ms=self.time_ms))

    def judge(self, candidate: Candidate, gate: Gate, judgement: Judgement, stage: int, check: str = "harm") -> None:
        self.give(a_verdict(candidate, gate, judgement, stage=stage, time_ms=self.time_ms, check=check))

    def give(self, record: Record) -> Sequence[Record]:
        outputs = self.handler.handle(record)
        for output in outputs:
            if isinstance(output, Chunk):
                assert not output.data
                del self.tensors[output.digest]
        assert self.handler.state.chunks() == self.tensors.keys()
        return outputs

    def needs(self, candidate: Candidate) -> set[Digest]:
        return set(chunks_of(split(candidate.heads)[0]))


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints of a few hundred bytes count as large."""
    monkeypatch.setattr(chunks, "INLINE_BYTES", 10)
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 16)


def test_every_way_that_a_candidate_may_end_leaves_what_serves_and_what_can_serve_again_and_nothing_else() -> None:
    lineage = Chunked()
    first = lineage.released()
    second = lineage.released()
    assert {*lineage.needs(first), *lineage.needs(second), *lineage.needs(BASE)} == lineage.tensors.keys()
    rejected = lineage.next_candidate(seed=0.5)
    assert lineage.needs(rejected) - lineage.needs(second)
    lineage.judge(rejected, Gate.DRIFT, Judgement.REJECT, 0)
    stopped = lineage.staged(seed=0.25)
    lineage.judge(stopped, Gate.CANARY, Judgement.ROLLBACK, 1)
    lineage.judge(second, Gate.DRIFT, Judgement.ROLLBACK, LIVE_STAGE)
    assert lineage.tensors.keys() == {*lineage.needs(first), *lineage.needs(BASE)}
    lineage.give(an_order(OperatorKind.ROLLBACK, time_ms=10**6))
    assert lineage.tensors.keys() == lineage.needs(BASE)


def test_a_release_that_the_history_no_longer_keeps_takes_its_chunks_along() -> None:
    lineage = Chunked()
    releases = [lineage.released() for _ in range(KEPT + 1)]
    later = {digest for one in (BASE, *releases[1:]) for digest in lineage.needs(one)}
    unique = lineage.needs(releases[0]) - later
    assert unique
    assert not unique & lineage.tensors.keys()


def test_a_candidate_that_is_turned_away_leaves_no_chunks_but_shared_ones() -> None:
    lineage = Chunked()
    stale = lineage.written(a_candidate(1, Digest("d" * 64), 10**6, seed=0.5))
    outputs = lineage.give(stale)
    assert [one.to_phase for one in outputs if isinstance(one, Transition)] == [Phase.REJECTED]
    assert any(isinstance(one, Chunk) for one in outputs)
    assert lineage.tensors.keys() == lineage.needs(BASE)


def test_a_copy_of_what_serves_deletes_nothing() -> None:
    lineage = Chunked()
    live = lineage.released()
    before = dict(lineage.tensors)
    assert lineage.give(lineage.written(live)) == ()
    assert lineage.give(lineage.written(BASE)) == ()
    assert lineage.tensors == before


def test_a_candidate_whose_chunk_is_missing_is_turned_away_by_its_number() -> None:
    lineage = Chunked()
    candidate = lineage.written(a_candidate(1, BASE.digest, 10**6, seed=0.5))
    missing = [it for it in chunks_of(candidate.heads) if it not in lineage.needs(BASE)]
    for digest in missing:
        del lineage.tensors[digest]
    (turned_away,) = [one for one in lineage.handler.handle(candidate) if isinstance(one, Transition)]
    number = chunks_of(candidate.heads).index(missing[0]) + 1
    assert f"chunk {number} of {len(chunks_of(candidate.heads))} ({missing[0][:12]}) is missing" in turned_away.cause
