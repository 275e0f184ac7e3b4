"""What another policy would have earned on logged decisions. Advice only: no gate decides on these figures.

The intervals are normal and fixed-n: they hold at one moment that was chosen beforehand, for independent decisions.
With epsilon .1 and ten experts, an action that the target takes and the log took by chance alone carries a weight of
91, so clearing five points takes tens of thousands of examples; the staged arm needs hundreds of sessions.

All arrays are float64 [n], one entry per example:

    reward               within [0, 1]
    target_probability   of the logged action under the policy that is asked about
    propensity           of the logged action when it was taken, within (0, 1]
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ol0.statistics.betting import FloatArray

SMALLEST_SAMPLE = 2


@dataclass(frozen=True)
class OffPolicyEstimate:
    """A value with its interval.

    Attributes:
        value: mean reward per decision that the target policy would have earned.
        low: lower end of the two-sided interval.
        high: upper end.
        effective_sample_size: (sum w)^2 / sum w^2 of the weights, in examples; far below n, do not believe it.
    """

    value: float
    low: float
    high: float
    effective_sample_size: float


def clipped_ips(
    reward: FloatArray, target_probability: FloatArray, propensity: FloatArray, *, clip: float, alpha: float = 0.05
) -> OffPolicyEstimate:
    """Inverse propensity scoring with weights cut at ``clip``: mean(min(target / propensity, clip) * reward).

    Cutting trades deviation for a bias downwards; unbiased where no weight is cut.

    Args:
        reward: [n].
        target_probability: [n].
        propensity: [n].
        clip: the largest weight, above 0; ``math.inf`` for none.
        alpha: two-sided level of the interval.

    Raises:
        ValueError: arrays of unequal length, fewer than two examples, or values out of range.

    References:
        Bottou et al., "Counterfactual reasoning and learning systems", JMLR 14, 2013.

    >>> reward, ones = np.array([1.0, 0.0, 1.0, 1.0]), np.ones(4)
    >>> clipped_ips(reward, ones, ones, clip=10.0).value
    0.75
    """
    weights = _weights(reward, target_probability, propensity, clip)
    terms = weights * reward
    return _estimate(float(terms.mean()), terms, weights, alpha)


def snips(
    reward: FloatArray, target_probability: FloatArray, propensity: FloatArray, *, clip: float, alpha: float = 0.05
) -> OffPolicyEstimate:
    """Self-normalised IPS: sum(w * reward) / sum(w). Never outside the range of the rewards, slightly biased.

    The interval is the delta method's, from the residuals w (reward - value) / mean(w). Arguments and errors as in
    ``clipped_ips``; weights that are all 0 raise ValueError as well.

    References:
        Swaminathan and Joachims, "The self-normalized estimator for counterfactual learning", NIPS 2015.

    >>> reward, half = np.array([1.0, 0.0, 1.0, 1.0]), np.full(4, 0.5)
    >>> snips(reward, np.array([1.0, 1.0, 0.0, 0.0]), half, clip=10.0).value
    0.5
    """
    weights = _weights(reward, target_probability, propensity, clip)
    mean_weight = float(weights.mean())
    if mean_weight == 0:
        raise ValueError("no logged action would be taken by the target: nothing can be said about it from this log")
    value = float((weights * reward).mean()) / mean_weight
    return _estimate(value, weights * (reward - value) / mean_weight, weights, alpha)


def doubly_robust(
    reward: FloatArray,
    target_probability: FloatArray,
    propensity: FloatArray,
    *,
    predicted: FloatArray,
    predicted_under_target: FloatArray,
    clip: float,
    alpha: float = 0.05,
) -> OffPolicyEstimate:
    """The reward model's value, corrected where the log knows better: mean(q_target + w (reward - q)).

    Unbiased when the propensities are right and uncut, or when the reward model is right. The interval counts on a
    reward model that was not fitted to these examples. Further arguments and errors as in ``clipped_ips``.

    Args:
        reward: [n].
        target_probability: [n].
        propensity: [n].
        predicted: q [n], the reward model's value of the logged action.
        predicted_under_target: q_target [n], its mean over actions under the target policy.
        clip: the largest weight.
        alpha: two-sided level of the interval.

    References:
        Dudik, Langford and Li, "Doubly robust policy evaluation and learning", ICML 2011.

    >>> reward, ones = np.array([1.0, 0.0]), np.ones(2)
    >>> doubly_robust(reward, ones, ones, predicted=0.4 * ones, predicted_under_target=0.4 * ones, clip=10.0).value
    0.5
    """
    weights = _weights(reward, target_probability, propensity, clip)
    if not predicted.shape == predicted_under_target.shape == reward.shape:
        raise ValueError(f"predictions of {predicted.shape}, {predicted_under_target.shape} for {reward.shape} rewards")
    if not (np.isfinite(predicted).all() and np.isfinite(predicted_under_target).all()):
        raise ValueError("predictions must be finite")
    terms = predicted_under_target + weights * (reward - predicted)
    return _estimate(float(terms.mean()), terms, weights, alpha)


def _weights(reward: FloatArray, target_probability: FloatArray, propensity: FloatArray, clip: float) -> FloatArray:
    if not (reward.shape == target_probability.shape == propensity.shape and reward.ndim == 1):
        raise ValueError(f"expected [n] each, found {reward.shape}, {target_probability.shape}, {propensity.shape}")
    if len(reward) < SMALLEST_SAMPLE:
        raise ValueError(f"an interval needs at least {SMALLEST_SAMPLE} examples, found {len(reward)}")
    if not clip > 0:
        raise ValueError(f"the largest weight must be above 0, found {clip}")
    for name, values in (("reward", reward), ("target_probability", target_probability), ("propensity", propensity)):
        if not np.all((values >= 0) & (values <= 1)):
            raise ValueError(f"{name} must lie within [0, 1]")
    if not propensity.all():
        raise ValueError("a propensity of 0 belongs to an action that cannot have been taken")
    return np.minimum(target_probability / propensity, clip)


def _estimate(value: float, terms: FloatArray, weights: FloatArray, alpha: float) -> OffPolicyEstimate:
    """The normal interval around ``value`` from the spread of ``terms``."""
    radius = NormalDist().inv_cdf(1 - alpha / 2) * float(terms.std(ddof=1)) / len(terms) ** 0.5
    square = float((weights**2).sum())
    effective = float(weights.sum()) ** 2 / square if square else 0.0
    return OffPolicyEstimate(value, value - radius, value + radius, effective)
