"""The learner of values: examples and anchors in, a policy out."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ol0.controller.heads import Floats, Head, softmax
from ol0.learner.batch import Batch
from ol0.learner.calibration import LOG_FLOOR, Platt
from ol0.learner.known_prompts import prompt_hashes
from ol0.learner.values.basis import Basis
from ol0.learner.values.novelty import Familiarity
from ol0.learner.values.policy import ValuePolicy
from ol0.learner.values.repeats import UNKNOWN, alikeness, cells, repeat_weights
from ol0.learner.values.ridge import Doubles, Moments, Numbers, Posterior
from ol0.learner.values.rule import Judge
from ol0.learner.values.scales import Scales

if TYPE_CHECKING:
    from collections.abc import Mapping

OFFSETS = 2  # the feature that is always 1, and familiarity: an expert may be worth something else on what is new


@dataclass(frozen=True, slots=True)
class ValueSettings:
    """The numbers that are chosen, not estimated.

    Attributes:
        rank: directions that are kept of the features.
        first_rounds, rounds: of estimating the scales, in the first fit and in every later one.
        budget: points of reward that the anchors may lose where no tilt keeps them all.
        budget_share: of what the base earns: the budget where rewards are rare.
        evidence: standard errors by which the whole policy has to be ahead of the base on live prompts.
        importance_clip: of the doubly robust estimate on anchors without labels.
    """

    rank: int = 192
    first_rounds: int = 8
    rounds: int = 2
    budget: float = 0.4
    budget_share: float = 0.008
    evidence: float = 2.0
    importance_clip: float = 5.0


@dataclass(frozen=True, slots=True)
class _Known:
    """Prompts as a fit sees them: features x (n, m), familiarity f (n,), log p0 (n, K)."""

    x: Doubles
    f: Doubles
    logs: Doubles

    @property
    def base(self) -> Numbers:
        """The base's answers, shape (n,)."""
        return np.asarray(self.logs.argmax(axis=1))

    @property
    def towards(self) -> Doubles:
        """What the tilt multiplies, shape (n, K)."""
        return np.asarray(self.f[:, None] * self.logs)


class ValueLearner:
    """Learns one part of the action. Holds the base, its anchors, and the scales of the last fit."""

    def __init__(
        self, base: Head, anchors: Batch, labels: Floats | None = None, settings: ValueSettings | None = None
    ) -> None:
        """Starts from the base.

        Args:
            base: its head.
            anchors: logged decisions of the base on its own prompts, at least two.
            labels: what every expert is worth on them, shape (n, K), where somebody knows; else they are votes like
                others, and the rule is judged by doubly robust estimates.
            settings: every number.
        """
        self._base, self._anchors, self._labels = base, anchors, labels
        self._settings = settings or ValueSettings()
        self._first = np.unique(prompt_hashes(anchors.features), return_index=True)[1]
        self._truth = self._estimates() if labels is None else labels.astype(np.float64)
        self._scales: Scales | None = None
        self._basis: tuple[int, Basis] | None = None
        self._alike, self._louder = UNKNOWN, 1.0
        self.figures: Mapping[str, float] = {}

    def refit(self, examples: Batch) -> ValuePolicy:
        """The policy after these examples, which are all that count; a vote counts ``weights``, within [0, 1]."""
        basis, hashes = self._basis_for(examples), prompt_hashes(examples.features)
        inside, anchored = (basis.inside(it.features).astype(np.float64) for it in (examples, self._anchors))
        firsts = np.unique(hashes, return_index=True)[1]
        familiarity = Familiarity.between(anchored[self._first], inside[firsts])
        live = self._known(examples.features, inside, familiarity)
        anchors = self._known(self._anchors.features, anchored, familiarity)
        posterior = self._fit(live, anchors, examples, cells(hashes, examples.actions[:, 0]))
        judge = Judge(anchors.x @ posterior.weights.T, anchors.towards, self._truth, anchors.base)
        tilt = judge.smallest_tilt(judge.budget(self._settings.budget, self._settings.budget_share))
        # Votes on rare rewards are noisier than labels, which are expectations, and the noise is of both.
        evidence = _evidence(posterior, live, tilt) / float(np.sqrt(self._louder))
        self.figures = {
            "tilt": tilt,
            "evidence": evidence,
            "alike": self._alike,
            "noise": posterior.scales.noise,
            "own": posterior.scales.own,
        }
        return self._policy(
            posterior, basis, familiarity, tilt if evidence >= self._settings.evidence else float("inf")
        )

    def _estimates(self) -> Doubles:
        """Doubly robust values of the anchors: the base's calibrated belief, corrected where the reward was seen."""
        logged, rows, taken = self._anchors, np.arange(len(self._anchors)), self._anchors.actions[:, 0]
        shares = softmax(self._base.logits(logged.features))
        belief = Platt.fit(shares[rows, taken], logged.rewards).rewards(shares)
        ratio = np.minimum(1 / logged.propensities[:, 0], self._settings.importance_clip)
        belief[rows, taken] += ratio * (logged.rewards - belief[rows, taken])
        return belief

    def _basis_for(self, examples: Batch) -> Basis:
        """Found anew whenever there are twice as many examples."""
        if self._basis is None or len(examples) >= 2 * self._basis[0]:
            both = np.concatenate([self._anchors.features, examples.features])
            self._basis = len(examples), Basis.of(both, self._settings.rank)
        return self._basis[1]

    def _known(self, features: Floats, inside: Doubles, familiarity: Familiarity) -> _Known:
        logs = np.log(softmax(self._base.logits(features)).astype(np.float64) + LOG_FLOOR)
        f = familiarity.of(inside)
        return _Known(np.column_stack([inside, np.ones(len(f)), f]), f, logs)

    def _fit(self, live: _Known, anchors: _Known, examples: Batch, cell: Numbers) -> Posterior:
        choices, settings, taken = self._base.choices, self._settings, examples.actions[:, 0]
        rewards = examples.rewards.astype(np.float64)
        weights = examples.weights.astype(np.float64) * repeat_weights(cell, self._alike)
        moments = Moments.of_votes(live.x, taken, rewards, weights, choices)
        if self._labels is None:
            logged = self._anchors
            ones, seen = np.ones(len(logged)), logged.rewards.astype(np.float64)
            moments = moments + Moments.of_votes(anchors.x, logged.actions[:, 0], seen, ones, choices)
        else:
            moments = moments + Moments.of_labels(anchors.x, self._truth)
        rounds = settings.rounds if self._scales else settings.first_rounds
        scales = self._scales or Scales.start(float(rewards.var()), live.x.shape[1] - OFFSETS, OFFSETS)
        for _ in range(rounds):
            scales = scales.after(Posterior.of(moments, scales), moments)
        posterior = Posterior.of(moments, scales)
        self._scales = scales
        errors = rewards - (live.x * posterior.weights[taken]).sum(axis=1)
        self._alike = alikeness(cell, errors)
        self._louder = max(float((errors**2).mean()) / scales.noise, 1.0)
        return posterior

    def _policy(self, posterior: Posterior, basis: Basis, familiarity: Familiarity, tilt: float) -> ValuePolicy:
        """Back in the features as they come."""
        directions, r = basis.directions, basis.directions.shape[1]
        away = -(directions @ familiarity.weight)[None].astype(np.float32)
        values = (posterior.weights[:, :r] @ directions.T).astype(np.float32)
        offsets, familiar = posterior.weights[:, r:].T.astype(np.float32)
        novelty = Head(away, np.array([familiarity.intercept], np.float32))
        return ValuePolicy(self._base, Head(values, offsets), novelty, familiar, tilt)


def _evidence(posterior: Posterior, live: _Known, tilt: float) -> float:
    """Standard errors by which the policy is ahead of the base, over live prompts; 0 where it never differs."""
    if np.isinf(tilt):
        return 0.0
    value, base = live.x @ posterior.weights.T, live.base
    taken = (value + tilt * live.towards).argmax(axis=1)
    rows = np.flatnonzero(taken != base)
    along = np.zeros_like(posterior.weights)
    np.add.at(along, taken[rows], live.x[rows])
    np.subtract.at(along, base[rows], live.x[rows])
    ahead = float((value[rows, taken[rows]] - value[rows, base[rows]]).sum())
    return ahead / float(np.sqrt(max(posterior.variance(along), 1e-18)))
