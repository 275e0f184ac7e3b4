"""Checkpoints that are too large for a record, from the warm-up to the host and back."""

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from ol0.clock import wall_clock_ms
from ol0.config import load_settings
from ol0.controller.checkpoint import digest_of, read_checkpoint, write_checkpoint
from ol0.controller.chunks import Reference, chunks_of, join, split
from ol0.controller.controller import Manifest
from ol0.controller.heads import Floats, Head, Mixer
from ol0.controller.warmup import base_checkpoint
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.record_sender import RecordSender
from ol0.kafka.topic_readers.checkpoints import read_chunks
from ol0.kafka.topic_readers.compacted_reader import CompactedReader
from ol0.operator.setup.lineage import apply_topics, warm_up
from ol0.operator.setup.prompts import Prompts, split_prompts
from ol0.records import (
    Candidate,
    Chunk,
    Digest,
    Judgement,
    OperatorCommand,
    OperatorKind,
    Phase,
    Record,
    ServingState,
    Transition,
    Verdict,
)
from ol0.sdk.router import Router
from ol0.stacks.native import NativeStack
from support.kafka_log import put_bytes
from testbed.lineages import Journal, Place, services, write_settings
from testbed.trunks import a_trunk
from testbed.waiting import wait_until

SETTINGS: Mapping[str, Mapping[str, object]] = {
    "streaming": {"batch_wait_s": 0.05},
    "warmup": {"canary_threshold": 0.0},
    "safety": {"stages": [], "cooldown_s": 0.0, "suite_margin": 0.05},  # both approvals release
    "serving": {"holdback": 0.0},
    "online_learning": {"anchors": 50},
}
READERS = ("canary", "drift", "release", "evaluator")
WITHIN_S = 60.0
MIB = 1024**2
PROMPTS = 4_000


def made_up_prompts(features: int, experts: int) -> Prompts:
    """Each prompt of one kind, and each kind with an expert of its own that answers best."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(24, size=PROMPTS)
    vectors = rng.normal(size=(24, features)).astype(np.float32)[kinds]
    vectors += 0.3 * rng.normal(size=vectors.shape).astype(np.float32)
    success = np.full((PROMPTS, experts), 0.3, np.float32)
    success[np.arange(PROMPTS), kinds % experts] = 0.9
    return Prompts(vectors / np.float32(np.sqrt(features)), success, np.array([f"kind-{kind}" for kind in kinds]))


def wide_base() -> tuple[bytes, int, int]:
    """4,096 features, 64 experts, no hidden layers: 2.1 MB."""
    return base_checkpoint(("expert",), (a_head(64, 4_096),), 0.1), 4_096, 64


def deep_base() -> tuple[bytes, int, int]:
    """Hidden layers of 32 MB above 1,024 features."""
    trunk = a_trunk((2_600, 2_048), features=1_024, spread=0.04)
    return base_checkpoint(("expert",), (trunk.head(a_head(8, 2_048)),), 0.1, trunk=trunk), 1_024, 8


def a_head(choices: int, features: int) -> Head:
    rng = np.random.default_rng(1)
    return Head(rng.normal(size=(choices, features)).astype(np.float32), np.zeros(choices, np.float32))


@dataclass
class Lives:
    """A lineage of a large base whose candidates are made by hand."""

    place: Place
    journal: Journal

    def candidate(self, seed: int) -> tuple[Candidate, bytes]:
        """The next one, which answers as the base does: its own heads are others, behind a closed mixer."""
        base, state = self.place.base, self.journal.all(ServingState)[-1]
        noise = np.random.default_rng(seed).normal(scale=0.01, size=base.base[0].weight.shape).astype(np.float32)
        learnt = Head(base.base[0].weight + noise, base.base[0].bias)
        step = state.decided_step + 1
        manifest = Manifest(base.digest, state.live.digest, step, base.manifest.parts, base.manifest.epsilon)
        closed = Mixer.closed(base.base[0].weight.shape[1])
        data = write_checkpoint(manifest, base.base, (learnt,), closed, base.trunk)
        heads, _ = split(data)
        return Candidate(digest_of(data), state.live.digest, base.digest, step, wall_clock_ms(), heads, {}), data

    def offer(self, candidate: Candidate, data: bytes) -> None:
        """With the chunks that the base has not, and after them: here no transaction keeps the candidate back."""
        known = chunks_of(self.journal.all(ServingState)[-1].base.heads)
        chunks = [Chunk(digest, chunk) for digest, chunk in split(data)[1].items() if digest not in known]
        self.send(*chunks)
        self.send(candidate)

    def send(self, *records: Record) -> None:
        RecordSender(self.place.lineage()).send_all(records)

    def live(self, digest: Digest) -> ServingState:
        return self.journal.first(ServingState, lambda it: it.live.digest == digest, within_s=WITHIN_S)

    def complaints(self, bad: Candidate) -> list[str]:
        """What gates and release have to say of a candidate that none of them takes, once its step is settled."""
        verdicts = self.journal.at_least(2, Verdict, lambda it: it.digest == bad.digest, within_s=WITHIN_S)
        self.journal.first(ServingState, lambda it: it.decided_step >= bad.step, within_s=WITHIN_S)
        end = self.journal.first(Transition, lambda it: it.digest == bad.digest)
        assert (end.from_phase, end.to_phase) == (None, Phase.REJECTED)
        assert {it.judgement for it in verdicts} == {Judgement.REJECT}
        return [end.cause, *(reason.text for it in verdicts for reason in it.reasons)]

    def serve(self, router: Router, seed: int) -> tuple[Candidate, bytes, float]:
        """Offers the next candidate; returns it with the seconds from both approvals to the host that serves it."""
        candidate, data = self.candidate(seed)
        self.offer(candidate, data)
        verdicts = self.journal.at_least(2, Verdict, lambda it: it.digest == candidate.digest, within_s=WITHIN_S)
        assert {verdict.judgement for verdict in verdicts} == {Judgement.APPROVE}, verdicts
        approved_s = time.monotonic()
        wait_until(lambda: serves(router, candidate.digest), WITHIN_S)
        return candidate, data, time.monotonic() - approved_s


def serves(router: Router, digest: Digest) -> bool:
    return router.serving is not None and router.serving[1] == digest


@contextmanager
def lineage_of(stack: NativeStack, folder: Path, base: tuple[bytes, int, int]) -> Iterator[Lives]:
    data, features, experts = base
    config = write_settings(stack, folder, SETTINGS)
    settings, prompts = load_settings(config), made_up_prompts(features, experts)
    split_of = split_prompts(prompts, np.char.str_len(prompts.groups) > 0, seed=0)
    apply_topics(settings)
    warm_up(settings, split_of, folder, seed=0, checkpoint=data)
    place = Place(config, settings, read_checkpoint(data), data, split_of)
    with services(place, READERS), Journal(settings, "candidates", "verdicts", "transitions", "releases") as journal:
        journal.first(ServingState, within_s=WITHIN_S)
        yield Lives(place, journal)


def tensors(lineage: Lineage) -> dict[str, Record]:
    with CompactedReader("tensors", lineage) as reader:
        return reader.read_to_end(WITHIN_S)


def policies(router: Router, features: Floats) -> list[bytes]:
    """What the host would do with every prompt, to the bit."""
    assert router._view is not None
    return [bytes(router._view.live.greedy(vector)) for vector in features]


@pytest.mark.parametrize("make_base", [wide_base, deep_base], ids=["4,096 features x 64 experts", "a trunk of 32 MB"])
def test_a_large_base_and_its_candidates_are_judged_released_served_and_rolled_back_bit_for_bit(
    stack: NativeStack, tmp_path: Path, make_base: Callable[[], tuple[bytes, int, int]]
) -> None:
    # Given a base whose checkpoint no record could hold, which both gates let serve.
    data, features, experts = make_base()
    with lineage_of(stack, tmp_path, (data, features, experts)) as lives, Router.open(lives.place.settings) as router:
        place = lives.place
        wait_until(lambda: serves(router, place.base.digest), WITHIN_S)
        prompts = place.split.stream.features[:50] if len(place.split.stream) else place.split.base.features[:50]
        # When two candidates come, each from the one before.
        first, first_data, first_s = lives.serve(router, seed=1)
        before = policies(router, prompts)
        lives.live(first.digest)
        second, _, second_s = lives.serve(router, seed=2)
        lives.live(second.digest)
        # Then the host serves each, and what they share with the base is on the log once.
        shared = set(chunks_of(first.heads)) & set(chunks_of(second.heads))
        known = set(chunks_of(lives.journal.all(ServingState)[-1].base.heads))
        assert known & shared
        assert set(tensors(place.lineage())) == {*known, *chunks_of(first.heads), *chunks_of(second.heads)}
        say_memory(stack, tmp_path, len(data), (first_s, second_s))
        # When the second is rolled back.
        lives.send(OperatorCommand(OperatorKind.ROLLBACK, second.digest, "ann", "looks odd", wall_clock_ms()))
        wait_until(lambda: serves(router, first.digest), WITHIN_S)
        # Then the first serves again, bit for bit, and nothing of the second alone is left.
        state = lives.journal.first(ServingState, lambda it: it.sequence == 4)
        assert state.live.digest == first.digest
        found = read_chunks(place.lineage(), set(chunks_of(state.live.heads)))
        assert join(state.live.heads, found.get) == first_data
        assert policies(router, prompts) == before
        assert set(tensors(place.lineage())) == {*known, *chunks_of(first.heads)}


@dataclass(frozen=True)
class Flaw:
    """One way in which the chunks of a candidate are not what they should be, and what is said of it."""

    reference: Callable[[Reference, Mapping[Digest, bytes]], Reference]
    written: Callable[[Reference, Mapping[Digest, bytes]], Mapping[Digest, bytes]]
    complaint: str


def with_last(reference: Reference, chunk: bytes) -> Reference:
    return replace(reference, chunks=(*reference.chunks[:-1], Digest(sha256(chunk).hexdigest())))


def last_of(reference: Reference, found: Mapping[Digest, bytes]) -> bytes:
    return found[reference.chunks[-1]]


def named(*chunks: bytes) -> Mapping[Digest, bytes]:
    return {Digest(sha256(chunk).hexdigest()): chunk for chunk in chunks}


def without_last(reference: Reference, found: Mapping[Digest, bytes]) -> Mapping[Digest, bytes]:
    return {digest: chunk for digest, chunk in found.items() if digest != reference.chunks[-1]}


TOGETHER = r"its 3 chunks are there, but together they are"
FLAWS: Mapping[str, Flaw] = {
    "missing": Flaw(lambda it, _: it, without_last, r"chunk 3 of 3 \([0-9a-f]{12}\) is missing"),
    "other bytes under its name": Flaw(
        lambda it, _: it,
        lambda it, found: {**found, it.chunks[-1]: last_of(it, found)[::-1]},
        r"chunk 3 of 3 \([0-9a-f]{12}\) is missing",  # no reader takes what is not what its name says
    ),
    "reordered": Flaw(
        lambda it, _: replace(it, chunks=(it.chunks[1], it.chunks[0], it.chunks[2])), lambda _, found: found, TOGETHER
    ),
    "truncated": Flaw(
        lambda it, found: with_last(it, last_of(it, found)[:-1]),
        lambda it, found: {**without_last(it, found), **named(last_of(it, found)[:-1])},
        r"chunk 3 of 3 has \d+ bytes, not \d+",
    ),
    "of another digest": Flaw(
        lambda it, found: with_last(it, last_of(it, found)[::-1]),
        lambda it, found: {**without_last(it, found), **named(last_of(it, found)[::-1])},
        TOGETHER,
    ),
    "with another header": Flaw(
        lambda it, _: replace(it, header=it.header.replace(b"0.1", b"0.9")), lambda _, found: found, TOGETHER
    ),
    "named by another digest": Flaw(
        lambda it, _: replace(it, digest=Digest("e" * 64)),
        lambda _, found: found,
        r"checkpoint is eeeeeeeeeeee, not [0-9a-f]{12}: its bytes were changed",
    ),
}


def put(lineage: Lineage, chunks: Mapping[Digest, bytes]) -> None:
    """Writes chunks under these names, whatever is in them."""
    for digest, data in chunks.items():
        put_bytes(lineage, "tensors", lineage.codec.encode_valid(Chunk(digest, data)), digest.encode())


def test_a_candidate_whose_chunks_are_not_what_they_should_be_is_refused_by_everybody_and_the_next_one_serves(
    stack: NativeStack, tmp_path: Path
) -> None:
    # Given a large base, and candidates whose chunks somebody has got at, each in another way.
    with lineage_of(stack, tmp_path, wide_base()) as lives:
        for number, flaw in enumerate(FLAWS.values()):
            good, data = lives.candidate(seed=10 + number)
            heads, found = split(data)
            reference = Reference.unpack(heads)
            bad = replace(good, heads=flaw.reference(reference, found).pack())
            # When one is offered.
            put(lives.place.lineage(), flaw.written(reference, found))
            lives.send(bad)
            # Then gates and release each say what is wrong with it.
            assert [it for it in lives.complaints(bad) if not re.search(flaw.complaint, it)] == []
        # And nothing of them is left, nor is anything the matter with the next one.
        base = set(chunks_of(lives.journal.all(ServingState)[-1].base.heads))
        assert set(tensors(lives.place.lineage())) == base
        with Router.open(lives.place.settings) as router:
            good, _, _ = lives.serve(router, seed=1)
            check_host(lives, router, lives.live(good.digest))


def check_host(lives: Lives, router: Router, state: ServingState) -> None:
    """A host refuses a state of which a chunk is missing, and serves on."""
    unwritten, _ = lives.candidate(seed=3)
    live = replace(state.live, digest=unwritten.digest, heads=unwritten.heads)
    router.take(replace(state, sequence=state.sequence + 1, live=live))
    assert "is missing" in str(router.refused)
    assert serves(router, state.live.digest)


def say_memory(stack: NativeStack, folder: Path, size: int, latencies_s: tuple[float, ...]) -> None:
    """Figures for a person who runs this with -s."""
    sys.stdout.write(
        f"\ncheckpoint {size / 1e6:.1f} MB; approval -> host serves {[round(it, 2) for it in latencies_s]} s\n"
    )
    rows = {"kafka": stack.brokers[0].pid, "store": stack.valkey.pid} | service_pids(folder)
    for name, pid in rows.items():
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        sys.stdout.write(f"  {name}: {int(status.partition('VmHWM:')[2].split()[0]) / 1024:.0f} MiB at most\n")


def service_pids(folder: Path) -> dict[str, int]:
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "ol0" in words and any(str(folder) in word for word in words):
            found[words[words.index("ol0") + 1]] = int(process.name)
    return found
