"""Checkpoints that are too large for a record, from the warm-up to the host and back."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ol0.clock import wall_clock_ms
from ol0.config import load_settings
from ol0.controller.checkpoint import digest_of, read_checkpoint, write_checkpoint
from ol0.controller.chunks import chunks_of, join, split
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
    Record,
    ServingState,
    Verdict,
)
from ol0.sdk.router import Router
from ol0.stacks.native import NativeStack
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
        """With the chunks that the base has not."""
        known = chunks_of(self.journal.all(ServingState)[-1].base.heads)
        chunks = [Chunk(digest, chunk) for digest, chunk in split(data)[1].items() if digest not in known]
        self.send(*chunks, candidate)

    def send(self, *records: Record) -> None:
        RecordSender(self.place.lineage()).send_all(records)

    def live(self, digest: Digest) -> ServingState:
        return self.journal.first(ServingState, lambda it: it.live.digest == digest, within_s=WITHIN_S)

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


def say_memory(stack: NativeStack, folder: Path, size: int, latencies_s: tuple[float, ...]) -> None:
    """Figures for a person who runs this with -s."""
    sys.stdout.write(
        f"\ncheckpoint {size / 1e6:.1f} MB; approval -> host serves {[round(it, 2) for it in latencies_s]} s\n"
    )
    rows = {"kafka": stack.kafka_pid, "store": stack.redis_pid} | service_pids(folder)
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
