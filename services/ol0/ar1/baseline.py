"""The base before learning: its canary suite, anchors, Fisher information and figures."""

from dataclasses import dataclass
from random import Random
from typing import Final, Self

import numpy as np

from ol0.ar1.calibration import Calibration
from ol0.controller.controller import Actions, Controller
from ol0.controller.exploration import Draw
from ol0.controller.fisher import softmax_fisher
from ol0.controller.heads import Floats
from ol0.controller.warmup import Anchor, log_anchor
from ol0.errors import ConfigError

GOOD: Final = 0.5
"""A held-out decision with at least this reward is a prompt whose good action is known."""
SMALLEST_SUITE: Final = 50  # below it no share means anything


@dataclass(frozen=True, slots=True)
class BaselineMetrics:
    """Figures of the base, under the names of the legacy code's evaluator.

    Attributes:
        task_success_rate: mean reward where the base would choose what was served; None where it never would.
        canary_pass_rate: share of the suite whose good action the base takes.
        coherence_score: mean of exp(-entropy of the policy), over the parts together.
        agreement_rate: share of the logged decisions that the base would have made.
        samples: rows from which the figures are computed.
    """

    task_success_rate: float | None
    canary_pass_rate: float
    coherence_score: float
    agreement_rate: float
    samples: int


@dataclass(frozen=True, slots=True)
class Parted:
    """A calibration file, split into two disjoint parts.

    Attributes:
        kept: for anchors and the Fisher information.
        suite: held-out rows with a high reward: prompts whose good action is known.
    """

    kept: Calibration
    suite: Calibration

    @classmethod
    def of(cls, calibration: Calibration, suite_share: float, seed: int) -> Self:
        """Holds out a share of the rows, chosen by a seeded permutation.

        Raises:
            ConfigError: too few of the held-out rows have a reward of at least ``GOOD``.
        """
        order = np.random.default_rng(seed).permutation(len(calibration))
        held = round(suite_share * len(calibration))
        suite = calibration.rows(order[:held])
        suite = suite.rows(np.flatnonzero(suite.rewards >= GOOD))
        if len(suite) < SMALLEST_SUITE:
            raise ConfigError(
                f"of {held} calibration rows held back for the canary suite {len(suite)} have a reward of {GOOD:g} or "
                f"more; at least {SMALLEST_SUITE} are needed: give more rows, or a larger warmup.suite_share"
            )
        return cls(calibration.rows(order[held:]), suite)


def anchors_of(base: Controller, kept: Calibration, count: int, seed: int) -> tuple[Anchor, ...]:
    """Returns the first rows as logged decisions. The same rows and seed give the same anchors."""
    rng = Random(seed)  # noqa: S311 - names, no secret
    return tuple(
        log_anchor(
            base,
            row,
            kept.features[row],
            Draw(tuple(kept.actions[row].tolist()), tuple(kept.propensities[row].tolist())),
            reward=float(kept.rewards[row]),
            group=None if kept.groups is None else str(kept.groups[row]),
            rng=rng,
        )
        for row in range(min(count, len(kept)))
    )


def fisher_of(base: Controller, features: Floats) -> Floats:
    """Fisher information of the stacked heads, the bias in the last row: features (n, D) to (D + 1, K)."""
    with_bias = np.append(features, np.ones((len(features), 1), np.float32), axis=1)
    return softmax_fisher(with_bias, np.concatenate(base.policy(features), axis=1))


def metrics_of(base: Controller, calibration: Calibration, suite_pass_share: float) -> BaselineMetrics:
    """The figures, over all rows of a file."""
    greedy = base.greedy(calibration.features)
    same = _same(greedy, calibration.actions)
    policy = base.policy(calibration.features)
    tiny = np.finfo(np.float32).tiny
    entropy = sum((-(pi * np.log(pi + tiny)).sum(axis=1) for pi in policy), np.zeros(len(calibration)))
    return BaselineMetrics(
        task_success_rate=float(calibration.rewards[same].mean()) if same.any() else None,
        canary_pass_rate=suite_pass_share,
        coherence_score=float(np.exp(-entropy).mean()),
        agreement_rate=float(same.mean()),
        samples=len(calibration),
    )


def suite_share(base: Controller, suite: Calibration) -> float:
    """Share of the suite whose good action the base takes."""
    return float(_same(base.greedy(suite.features), suite.actions).mean())


def _same(one: Actions, other: Actions) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray((one == other).all(axis=1))
