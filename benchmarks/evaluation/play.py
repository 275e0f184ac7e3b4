"""One contender, one scenario, one split: what comes out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.evaluation.contenders import CONTENDERS, OURS, Contender
from benchmarks.evaluation.scenarios import Scenario, target_of
from benchmarks.evaluation.worlds import Pool, World, fit, world_of

SETTLE_EVERY: Final = 10
"""Updates of 32 prompts: a new controller serves after every 320."""


@dataclass(frozen=True)
class Figures:
    """What one run ended with, in points of success on prompts that nobody trained on.

    Attributes:
        new, base_new: on new kinds, at the end and of the base.
        old: change on old kinds against the base.
        online: mean honest success of what was served meanwhile.
        curve: (prompts so far, ``new`` then), at every settling.
        kinds: prompts in the test, the base's points, and the change, by kind.
        target: the kind that liars lie about.
    """

    new: float
    base_new: float
    old: float
    online: float
    curve: list[tuple[int, float]]
    kinds: Mapping[str, tuple[int, float, float]]
    target: str


def play(stream: str, contender: str, scenario: Scenario, seed: int) -> Figures:
    """One pass of the stream: serve, vote, learn; every ten updates what was learnt serves."""
    world = world_of(stream, seed)
    player = CONTENDERS[contender](world, seed)
    rng = np.random.default_rng(9_000 + seed)
    prompts, target, served, curve = scenario.stream(world, rng), target_of(world), [], []
    portions = range(0, len(prompts), OURS.examples_per_update)
    for number, start in enumerate(portions, start=1):
        coming = prompts.take(np.arange(start, min(start + OURS.examples_per_update, len(prompts))))
        answers = player.greedy(coming.features)
        served.append(coming.expected(answers))
        player.learn(scenario.say(coming, answers, target, rng))
        if number % SETTLE_EVERY == 0 or number == len(portions):
            player.settle()
            curve.append((min(start + OURS.examples_per_update, len(prompts)), _points(player, world.new_test)))
    return Figures(
        new=_points(player, world.new_test),
        base_new=_base_points(world, world.new_test),
        old=_points(player, world.old_test) - _base_points(world, world.old_test),
        online=100 * float(np.concatenate(served).mean()),
        curve=curve,
        kinds={**_kinds(player, world, world.old_test), **_kinds(player, world, world.new_test)},
        target=target,
    )


def ceiling(stream: str, seed: int) -> Figures:
    """Full labels and an oracle: see ``contenders.CEILING``."""
    world = world_of(stream, seed)
    answers = fit(world.new, seed).greedy(world.new_test.features)[:, 0]
    new = 100 * float(world.new_test.expected(answers).mean())
    return Figures(new, _base_points(world, world.new_test), 0.0, new, [], {}, target_of(world))


def _points(player: Contender, pool: Pool) -> float:
    return 100 * float(pool.expected(player.greedy(pool.features)).mean())


def _base_points(world: World, pool: Pool) -> float:
    return 100 * float(pool.expected(world.base.greedy(pool.features)[:, 0]).mean())


def _kinds(player: Contender, world: World, pool: Pool) -> dict[str, tuple[int, float, float]]:
    before = pool.expected(world.base.greedy(pool.features)[:, 0])
    change = pool.expected(player.greedy(pool.features)) - before
    found = {}
    for kind in np.unique(pool.kinds):
        rows = pool.kinds == kind
        found[str(kind)] = int(rows.sum()), 100 * float(before[rows].mean()), 100 * float(change[rows].mean())
    return found
