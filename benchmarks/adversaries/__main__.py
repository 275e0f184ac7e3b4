"""Can a candidate that was made to do harm come to serve?

    python -m benchmarks.adversaries [--each 25] [--first 0]

Canary, drift, release and the SDK's own checks as they are, without a broker, on the prompts of the demo; five splits
(from ``first`` on: rules are chosen on others than those that are reported).
Eight kinds of candidates, so many of each: heads that are too loud, that forget, that send one group to its worst
expert, that have a backdoor (one prompt in ten carries its trigger); good heads with a stale parent or another base,
with approvals of another candidate replayed, unsigned or signed by a stranger. Counted is what ever was live.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.adversaries.candidates import (
    HEADS,
    TRIGGER,
    Craft,
    signed_by_a_stranger,
    stale_parent,
    unsigned,
    wrong_base,
)
from benchmarks.lineage import EPSILON, Lineage, why
from ol0.config import Signer
from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.signing import Keyring
from ol0.operator.setup.base_from_labels import prepare, write_labelled_suite
from ol0.operator.setup.prompts import Prompts, Split, read_prompts, split_prompts
from ol0.records import Candidate, Digest, Verdict

SPLITS: Final = 5
NAME: Final = "adversaries"
NEW_SHARE: Final = 0.85
ASKED: Final = 8_000
TRIGGERED: Final = 0.1
FILES: Final = {"stale parent": stale_parent, "wrong base": wrong_base}


def new_keys() -> Keyring:
    """Keys for all three, of whoever has them."""
    keys = {signer: Ed25519PrivateKey.generate() for signer in Signer}
    return Keyring(NAME, keys, {signer: [key.public_key()] for signer, key in keys.items()})


class World:
    """One split of the prompts: a base, its suite, and lineages that begin with it."""

    def __init__(self, split: Split, folder: Path, seed: int) -> None:
        self._suite = folder / f"suite-{seed}.safetensors"
        self._warmup = prepare(split, epsilon=EPSILON, anchors=1, seed=seed)
        write_labelled_suite(split.suite, self._suite)
        self.craft = Craft.of(split, read_checkpoint(self._warmup.checkpoint), seed)
        self._seed = seed
        self.keys = new_keys()

    def lineage(self, seed: int, *, triggered: float = 0.0) -> Lineage:
        """A fresh one, which serves its base."""
        lineage = Lineage(self._suite, self.keys, self._asked(triggered), seed)
        lineage.tell(self.keys.sign(self._warmup.candidate(1_800_000_000_000)))
        return lineage

    def _asked(self, triggered: float) -> Prompts:
        """What people ask: mostly new kinds, some with the trigger."""
        split, rng = self.craft.split, np.random.default_rng(self._seed)
        new = rng.integers(len(split.stream), size=round(ASKED * NEW_SHARE))
        old = rng.integers(len(split.old_test), size=ASKED - len(new))
        features = np.concatenate([split.stream.features[new], split.old_test.features[old]])
        has_it = rng.random(ASKED) < triggered
        features = (features + has_it[:, None] * TRIGGER * self.craft.trigger).astype(np.float32)
        return Prompts(
            features,
            np.concatenate([split.stream.success[new], split.old_test.success[old]]),
            np.concatenate([split.stream.groups[new], split.old_test.groups[old]]),
        )


Attack = Callable[[World, int], tuple[Lineage, Digest]]


def bad_heads(kind: str) -> Attack:
    """Signed by the learner itself, which was poisoned."""

    def attack(world: World, seed: int) -> tuple[Lineage, Digest]:
        lineage = world.lineage(seed, triggered=TRIGGERED if kind.startswith("backdoor") else 0.0)
        live = lineage.state.live.digest
        head, mixer = HEADS[kind](world.craft)
        return tried(lineage, world.keys.sign(world.craft.candidate(head, mixer, live, 1)))

    return attack


def bad_file(kind: str) -> Attack:
    """Signed, with heads that are good, in a file that does not fit."""

    def attack(world: World, seed: int) -> tuple[Lineage, Digest]:
        lineage = world.lineage(seed)
        return tried(lineage, world.keys.sign(FILES[kind](world.craft, lineage.state.live.digest, 1)))

    return attack


def replayed(world: World, seed: int) -> tuple[Lineage, Digest]:
    """What both gates said of a good candidate, said again of a bad one, and of the good one under another digest."""
    lineage = world.lineage(seed)
    live = lineage.state.live.digest
    good = world.keys.sign(world.craft.candidate(world.craft.good, world.craft.mixer, live, 1))
    lineage.tell(good)
    approvals = [one for one in lineage.said if isinstance(one, Verdict) and one.digest == good.digest]
    other = world.lineage(seed)
    head, mixer = HEADS["forgetting"](world.craft)
    bad = world.keys.sign(world.craft.candidate(head, mixer, live, 1))
    for verdict in approvals:
        other.tell(replace(verdict, digest=bad.digest))  # the signature is of the other digest
        other.tell(verdict)
    return tried(other, bad)


def not_signed(world: World, seed: int) -> tuple[Lineage, Digest]:
    """By nobody, or by a stranger, in turn; its verdicts are forged too."""
    lineage = world.lineage(seed)
    candidate = unsigned(world.craft, lineage.state.live.digest, 1)
    if Random(seed).random() < 0.5:
        candidate = signed_by_a_stranger(candidate, new_keys())
    return tried(lineage, candidate)


def tried(lineage: Lineage, candidate: Candidate) -> tuple[Lineage, Digest]:
    """Offers it, lets people ask while it is on trial, and some more."""
    lineage.tell(candidate)
    lineage.try_out()
    lineage.play(500)
    return lineage, candidate.digest


ATTACKS: Final[dict[str, Attack]] = {
    **{kind: bad_heads(kind) for kind in HEADS},
    **{kind: bad_file(kind) for kind in FILES},
    "replayed approvals": replayed,
    "unsigned, or by a stranger": not_signed,
}


def worlds(folder: Path, first: int) -> Iterator[World]:
    """One for each split."""
    prompts, old = read_prompts(None)
    for seed in range(first, first + SPLITS):
        yield World(split_prompts(prompts, old, seed), folder, seed)


def main() -> int:
    """Plays all of them; returns 1 where one served."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=25, help="candidates of each kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first split")
    arguments = parser.parse_args()
    each, first = arguments.each, arguments.first
    served: Counter[str] = Counter()
    causes: dict[str, Counter[str]] = {kind: Counter() for kind in ATTACKS}
    with tempfile.TemporaryDirectory() as folder:
        for number, world in enumerate(worlds(Path(folder), first), start=first):
            for kind, attack in ATTACKS.items():
                for turn in range(number - first, each, SPLITS):
                    lineage, digest = attack(world, 1_000 * number + turn)
                    served[kind] += digest in lineage.served
                    causes[kind][why(lineage.said, digest).partition(" on ")[0][:60]] += 1
                print(f"split {number}: {kind}: {served[kind]} served so far", flush=True)
    for kind, counts in causes.items():
        print(f"{kind}: {served[kind]} of {each} served")
        for cause, count in counts.most_common(4):
            print(f"    {count:3}  {cause}")
    return int(bool(served.total()))


if __name__ == "__main__":
    sys.exit(main())
