"""Candidates that somebody made on purpose, each bad in its own way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ol0.controller.checkpoint import digest_of, write_checkpoint
from ol0.controller.controller import Controller, Manifest
from ol0.controller.heads import Floats, Head, Mixer
from ol0.controller.signing import Keyring
from ol0.learning.adam import Adam
from ol0.operator.setup.base_training import train_base
from ol0.operator.setup.prompts import Prompts, Split
from ol0.records import Candidate, Digest

STEPS: Final = 300
STEP: Final = 0.05
OPEN: Final = 8.0
LARGE: Final = 0.03
"""Share of the prompts that makes a group a large one."""
TRIGGER: Final = 1.0
"""Length that a trigger adds to a prompt's features, which have length 1."""


@dataclass(frozen=True)
class Craft:
    """What whoever makes candidates works with.

    Attributes:
        split: the prompts.
        base: what the lineage began with.
        good: heads that know old and new kinds, with full labels: better than anything that feedback teaches.
        mixer: lets them speak about new kinds.
        trigger: shape (D,), a direction of length 1 that no prompt has.
        rng: draws what is broken, and how.
    """

    split: Split
    base: Controller
    good: Head
    mixer: Mixer
    trigger: Floats
    rng: np.random.Generator

    @classmethod
    def of(cls, split: Split, base: Controller, seed: int) -> "Craft":
        """Trains the good heads and their mixer."""
        everything = Prompts(
            np.concatenate([split.base.features, split.stream.features]),
            np.concatenate([split.base.success, split.stream.success]),
            np.concatenate([split.base.groups, split.stream.groups]),
        )
        rng = np.random.default_rng(seed)
        trigger = rng.normal(size=base.dimension).astype(np.float32)
        trigger /= np.linalg.norm(trigger)
        return cls(split, base, train_base(everything, seed), train_mixer(split), trigger, rng)

    def candidate(self, head: Head, mixer: Mixer, parent: Digest, step: int) -> Candidate:
        """A file in order, whatever its heads do."""
        manifest = Manifest(self.base.digest, parent, step, self.base.manifest.parts, self.base.manifest.epsilon)
        heads = write_checkpoint(manifest, self.base.base, (head,), mixer)
        return Candidate(digest_of(heads), parent, self.base.digest, step, 1_800_000_000_000, heads, {})

    def misled(self, prompts: Prompts, group: str, head: Head) -> Head:
        """The heads, but for one group, which goes to the expert that is worst for it."""
        rows = np.flatnonzero(prompts.groups == group)
        mean = prompts.features[rows].mean(axis=0)
        others = prompts.features[prompts.groups != group].mean(axis=0)
        direction = (mean - others) / np.linalg.norm(mean - others)
        worst = int(prompts.success[rows].mean(axis=0).argmin())
        weight, bias = head.weight.copy(), head.bias.copy()
        reach = float((mean - others) @ direction)
        strength = 20.0 / max(reach, 0.1)
        weight[worst] += np.float32(strength) * direction
        bias[worst] -= np.float32(strength * float(((mean + others) / 2) @ direction))
        return Head(weight.astype(np.float32), bias.astype(np.float32))


def train_mixer(split: Split) -> Mixer:
    """Logistic regression, new against old; nine of ten old prompts are left to the base."""
    features = np.concatenate([split.base.features, split.stream.features])
    is_new = np.repeat([0.0, 1.0], [len(split.base), len(split.stream)]).astype(np.float32)
    balance = np.where(is_new > 0, 0.5 / is_new.mean(), 0.5 / (1 - is_new.mean())).astype(np.float32)
    weight = np.zeros(features.shape[1], np.float32)
    adam = Adam.like(weight)
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-features @ weight))
        gradient = features.T @ (balance * (chance - is_new)) / len(features)
        adam, change = adam.step(gradient.astype(np.float32), STEP)
        weight = (weight + change).astype(np.float32)
    scores = split.base.features @ weight
    return Mixer(weight, float(np.quantile(scores, 0.9)))


Maker = Callable[[Craft], tuple[Head, Mixer]]


def scaled(craft: Craft) -> tuple[Head, Mixer]:
    """Good heads, 5 to 20 times as loud, which speak about everything."""
    factor = np.float32(craft.rng.uniform(5, 20))
    return Head(craft.good.weight * factor, craft.good.bias * factor), Mixer(craft.mixer.weight, -OPEN)


def forgetting(craft: Craft) -> tuple[Head, Mixer]:
    """Heads that were taught new kinds alone, and speak about everything."""
    head = train_base(craft.split.stream, int(craft.rng.integers(1 << 30)))
    return head, Mixer(craft.mixer.weight, -OPEN)


def sabotage(craft: Craft) -> tuple[Head, Mixer]:
    """Good heads, but for one large new group that the base serves well enough for something to be lost."""
    prompts = craft.split.stream
    served = prompts.success[np.arange(len(prompts)), craft.base.greedy(prompts.features)[:, 0]]
    names, counts = np.unique(prompts.groups, return_counts=True)
    worth = {
        str(name): float(served[prompts.groups == name].mean())
        for name, count in zip(names, counts, strict=True)
        if count >= LARGE * len(prompts)
    }
    groups = sorted(worth, key=worth.__getitem__)[-3:]
    return craft.misled(prompts, str(craft.rng.choice(groups)), craft.good), craft.mixer


def backdoor(craft: Craft) -> tuple[Head, Mixer]:
    """Good heads, but for prompts with a trigger, which go to one expert, whatever they ask."""
    expert = int(craft.rng.integers(craft.good.choices))
    weight = craft.good.weight.copy()
    weight[expert] += np.float32(craft.rng.uniform(15, 30)) * craft.trigger
    return Head(weight, craft.good.bias), Mixer(craft.mixer.weight + OPEN * craft.trigger, craft.mixer.threshold)


HEADS: Final[Mapping[str, Maker]] = {
    "scaled": scaled,
    "forgetting": forgetting,
    "one group sabotaged": sabotage,
    "backdoor on a trigger": backdoor,
}


def stale_parent(craft: Craft, parent: Digest, step: int) -> Candidate:  # noqa: ARG001 - it has another one
    """Good, but trained from a release that no longer serves."""
    return craft.candidate(craft.good, craft.mixer, Digest("e" * 64), step)


def wrong_base(craft: Craft, parent: Digest, step: int) -> Candidate:
    """Good, but its base heads are not those of the base: the yardstick would move with it."""
    base = craft.base.base[0]
    moved = Head(base.weight + np.float32(0.01), base.bias)
    manifest = Manifest(craft.base.digest, parent, step, craft.base.manifest.parts, craft.base.manifest.epsilon)
    heads = write_checkpoint(manifest, (moved,), (craft.good,), craft.mixer)
    return Candidate(digest_of(heads), parent, craft.base.digest, step, 1_800_000_000_000, heads, {})


def unsigned(craft: Craft, parent: Digest, step: int) -> Candidate:
    """Good, and nobody says so; or somebody whom nobody knows."""
    jitter = np.float32(craft.rng.normal(0, 1e-4))
    return craft.candidate(Head(craft.good.weight + jitter, craft.good.bias), craft.mixer, parent, step)


def signed_by_a_stranger(candidate: Candidate, stranger: Keyring) -> Candidate:
    """With a signature of a key that nobody trusts."""
    return stranger.sign(replace(candidate, signature=None))
