"""Prompts whose right answers are known, split into what the base has seen, what comes, and what nobody trains on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from ol0.config import OnlineLearningConfig
from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.controller import Actions, Controller
from ol0.controller.heads import Floats
from ol0.controller.warmup import base_checkpoint
from ol0.learning.batch import Batch
from ol0.operator.setup.base_from_labels import PART
from ol0.operator.setup.base_training import train_base
from ol0.operator.setup.prompts import Prompts, read_prompts

EPSILON: Final = 0.1
USERS: Final = 200


@dataclass(frozen=True)
class Pool:
    """Prompts: features (n, D), success probability of every expert (n, K), kind (n,)."""

    features: Floats
    success: Floats
    kinds: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.kinds)

    def take(self, rows: NDArray[np.intp]) -> Self:
        """These prompts, in this order."""
        return type(self)(self.features[rows], self.success[rows], self.kinds[rows])

    def followed_by(self, other: Self) -> Self:
        """These prompts, then the others."""
        return type(self)(
            np.concatenate([self.features, other.features]),
            np.concatenate([self.success, other.success]),
            np.concatenate([self.kinds, other.kinds]),
        )

    def expected(self, taken: Actions) -> Floats:
        """Success probability of the expert that each prompt got, shape (n,)."""
        return np.asarray(self.success[np.arange(len(self)), taken])


@dataclass(frozen=True)
class World:
    """One split of a stream, with its base.

    Attributes:
        base: the frozen controller, trained on old kinds with full labels.
        anchors: old prompts that the base answered, with exploration, and their votes.
        old: more old prompts, for streams that have some.
        new: the prompts of the stream; each comes once.
        old_test, new_test: what nobody trains on.
    """

    base: Controller
    anchors: Batch
    old: Pool
    new: Pool
    old_test: Pool
    new_test: Pool


@lru_cache(maxsize=2)
def from_file(path: Path | None, seed: int) -> World:
    """What a file of labelled prompts holds (``ol0.operator.setup.prompt_file``), old kinds and new ones as it says.

    Args:
        path: None: the data of the package, descriptions of Debian packages for one of ten experts.
        seed: of the split.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    prompts, old = read_prompts(path)
    return split(Pool(prompts.features, prompts.success, prompts.groups), old, seed)


def debian(seed: int) -> World:
    """The data of the package."""
    return from_file(None, seed)


@lru_cache(maxsize=2)
def random(seed: int) -> World:
    """Eight clusters in 64 features, of which the base knows four; each has one right expert of five."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 8, 8_000)
    centres = rng.normal(size=(8, 64))
    features = centres[kinds] + 2 * rng.normal(size=(8_000, 64))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    right = np.append(rng.permutation(5), rng.integers(0, 5, 3))
    success = np.where(np.arange(5) == right[kinds][:, None], 0.95, 0.05)
    pool = Pool(features.astype(np.float32), success.astype(np.float32), np.char.add("cluster ", kinds.astype(str)))
    return split(pool, kinds < 4, seed)


@dataclass(frozen=True)
class Crowd:
    """Made-up experts of whom many are right on most prompts: what each succeeds at is drawn once for each prompt.

        log odds = .3 + level_a + taste_a(kind) + x.(skill_a + difficulty) + a difficulty of the prompt's own

    Attributes:
        choices, dimension: K and D.
        old, new: prompts of the four old kinds and of the four new ones.
        level: standard deviation between experts, whatever the prompt.
        taste: of an expert between kinds, and half of that of its skill along each direction.
        difficulty: of prompts for all experts alike.
    """

    choices: int
    dimension: int
    old: int
    new: int
    level: float
    taste: float
    difficulty: float

    def __call__(self, seed: int) -> World:
        """A split."""
        rng, count = np.random.default_rng(1_000 + seed), self.old + self.new
        kinds = np.concatenate([rng.integers(0, 4, self.old), 4 + rng.integers(0, 4, self.new)])
        centres = rng.normal(size=(8, self.dimension))
        spread = 1.5 * np.arange(1, self.dimension + 1) ** -0.3
        features = centres[kinds] + spread * rng.normal(size=(count, self.dimension))
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        level = self.level * rng.normal(size=self.choices)
        tastes = self.taste * rng.normal(size=(8, self.choices))
        skills = 2 * self.taste * rng.normal(size=(self.choices, self.dimension))
        common = 2 * self.difficulty * rng.normal(size=self.dimension)
        odds = 0.3 + level + tastes[kinds] + features @ skills.T + (features @ common)[:, None]
        odds += self.difficulty * rng.normal(size=(count, 1))
        success = rng.random((count, self.choices)) < 1 / (1 + np.exp(-odds))
        names = np.char.add("kind ", kinds.astype(str))
        pool = Pool(features.astype(np.float32), success.astype(np.float32), names)
        return split(pool, kinds < 4, seed)


STREAMS: Final[Mapping[str, Callable[[int], World]]] = {
    "debian": debian,
    "random": random,
    "crowd of 16": lru_cache(maxsize=2)(Crowd(16, 128, 3_000, 3_000, 0.3, 0.5, 1.0)),
    "crowd of 28": lru_cache(maxsize=2)(Crowd(28, 128, 3_000, 3_000, 0.5, 0.4, 1.2)),
    "crowd of 71": lru_cache(maxsize=2)(Crowd(71, 256, 1_500, 2_500, 1.2, 0.6, 1.2)),
}


def world_of(stream: str, seed: int) -> World:
    """A split of a stream by its name, or of a file by its path."""
    return STREAMS[stream](seed) if stream in STREAMS else from_file(Path(stream), seed)


def split(
    pool: Pool, is_old: NDArray[np.bool_], seed: int, make_base: Callable[[Pool, int], Controller] | None = None
) -> World:
    """Old kinds 25 / 75 into test and base pool, new ones 25 / 75 into test and stream; None: a base of ``fit``."""
    rng = np.random.default_rng(seed)
    old, new = rng.permutation(np.flatnonzero(is_old)), rng.permutation(np.flatnonzero(~is_old))
    known = pool.take(old[len(old) // 4 :])
    base = (make_base or fit)(known, seed)
    rng = np.random.default_rng(7_000 + seed)
    # At most half of them, as the demo does it: the rest are old prompts that come again.
    order, anchors = rng.permutation(len(known)), min(OnlineLearningConfig().anchors, len(known) // 2)
    logged = vote(known.take(order[:anchors]), base.greedy(known.features[order[:anchors]])[:, 0], rng)
    return World(
        base=base,
        anchors=logged,
        old=known.take(order[anchors:]),
        new=pool.take(new[len(new) // 4 :]),
        old_test=pool.take(old[: len(old) // 4]),
        new_test=pool.take(new[: len(new) // 4]),
    )


def fit(pool: Pool, seed: int) -> Controller:
    """The base that ``ol0 base from-labels`` trains on these prompts: what nobody has while serving."""
    head = train_base(Prompts(pool.features, pool.success, pool.kinds), seed)
    return read_checkpoint(base_checkpoint((PART,), (head,), EPSILON))


def vote(pool: Pool, greedy: Actions, rng: np.random.Generator) -> Batch:
    """Prompts served epsilon-greedily, and the honest votes of 200 users."""
    count, choices = pool.success.shape
    taken = np.where(rng.random(count) < EPSILON, rng.integers(0, choices, count), greedy)
    return votes_on(pool, taken, (1 - EPSILON) * (taken == greedy) + EPSILON / choices, rng)


def votes_on(pool: Pool, taken: Actions, propensity: Floats, rng: np.random.Generator) -> Batch:
    """Prompts as they were served, and the honest votes of 200 users.

    Args:
        pool: n prompts.
        taken: the expert of each, shape (n,).
        propensity: the probability of that, shape (n,).
        rng: chance.
    """
    count = len(pool)
    votes = rng.random(count) < pool.expected(taken)
    users = np.asarray(rng.integers(0, USERS, count), np.uint64)
    ones = np.ones(count, np.float32)
    return Batch(
        pool.features, taken[:, None], propensity[:, None].astype(np.float32), votes.astype(np.float32), ones, users
    )
