"""Prompts of several kinds in a space as embedders make them: some directions carry much, all share a middle."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from ol0.controller.heads import Floats
from ol0.records import Decision
from support.examples import DECISION

DIMENSION, LATENT = 128, 40
OLD, NEW = range(4), range(4, 12)

_draws = np.random.default_rng(0)
_CENTRES = 1.2 * _draws.normal(size=(len(OLD) + len(NEW), LATENT))
_TO_FEATURES = _draws.normal(size=(LATENT, DIMENSION))
_MIDDLE = 2 * _draws.normal(size=DIMENSION)
ROTATION = np.linalg.qr(_draws.normal(size=(DIMENSION, DIMENSION)))[0].astype(np.float32)


def prompts(kinds: np.ndarray, rng: np.random.Generator) -> Floats:
    """One prompt of each of these kinds, of length 1, shape (n, 128)."""
    count = len(kinds)
    latent = _CENTRES[kinds] + 0.8 * rng.normal(size=(count, LATENT))
    features = latent @ _TO_FEATURES + _MIDDLE + 0.5 * rng.normal(size=(count, DIMENSION))
    return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True), np.float32)


def anchors(count: int = 160) -> Floats:
    """Prompts of the old kinds."""
    return prompts(np.arange(count) % len(OLD), np.random.default_rng(1))


def traffic(count: int, seed: int = 2, new_share: float = 0.5) -> Floats:
    """Prompts of old and new kinds."""
    rng = np.random.default_rng(seed)
    kinds = np.where(rng.random(count) < new_share, rng.choice(NEW, count), rng.choice(OLD, count))
    return prompts(kinds, rng)


def slowly_changing(count: int, seed: int) -> Floats:
    """The mix of all kinds wanders: at times one of them is most of the traffic."""
    rng = np.random.default_rng(seed)
    level, kinds = 2 * rng.normal(size=len(_CENTRES)), []
    for _ in range(-(-count // 20)):
        level = 0.99 * level + 0.3 * rng.normal(size=len(level))
        shares = np.exp(1.5 * level)
        kinds.append(rng.choice(len(level), 20, p=shares / shares.sum()))
    return prompts(np.concatenate(kinds)[:count], rng)


def decisions(features: Floats, start: int = 0) -> Iterator[Decision]:
    """One a second, each of a session of its own."""
    for number, row in enumerate(features, start):
        session, time_ms = f"session-{number}", DECISION.time_ms + 1_000 * number
        yield replace(DECISION, session_id=session, time_ms=time_ms, features=row.astype("<f4").tobytes())


def with_dead_block(features: Floats) -> Floats:
    """A quarter of the coordinates is 0."""
    dead = features.copy()
    dead[:, DIMENSION // 4 : DIMENSION // 2] = 0
    return dead


Change = Callable[[Floats], Floats]
CHANGES: dict[str, Change] = {
    "another embedder": lambda features: np.asarray(features @ ROTATION.T),
    "coordinates in another order": lambda features: np.asarray(np.roll(features, 1, axis=1)),
    "ten times longer": lambda features: 10 * features,
    "nothing": lambda features: 0 * features,
    "always the same": lambda features: np.repeat(features[:1], len(features), axis=0),
    "a dead block": with_dead_block,
}
