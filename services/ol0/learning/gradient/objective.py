"""The loss of the learnt heads: each term is a function and is logged under its name.

``gain`` and ``anchor_kl`` are here, ``ewc`` and ``proximal`` in files of their own. Each returns its value, weight
included, and the gradient of that value by the stacked heads, so that the loss is the plain sum. All of them are
linear in the data's precision: float32 in, float32 out; float64 serves the tests.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from ol0.controller.heads import Floats
from ol0.learning.batch import Batch
from ol0.learning.parts import Parts


@dataclass(frozen=True, slots=True)
class Term:
    """One term of the loss.

    Attributes:
        value: weight included.
        gradient: with respect to its stacked matrix, same shape.
    """

    value: float
    gradient: Floats


@dataclass(frozen=True, slots=True)
class Forward:
    """Stacked heads applied to a batch.

    Attributes:
        features: with the appended 1, shape (n, D + 1).
        log_probabilities: shape (n, K).
        probabilities: shape (n, K).
    """

    features: Floats
    log_probabilities: Floats
    probabilities: Floats

    @classmethod
    def of(cls, features: Floats, heads: Floats, parts: Parts) -> Self:
        """Features (n, D + 1) times heads (D + 1, K), softmax within each part."""
        log_probabilities = parts.log_softmax(features @ heads)
        return cls(features, log_probabilities, np.exp(log_probabilities))

    def rows(self, selected: slice) -> Self:
        """Selects rows."""
        return type(self)(self.features[selected], self.log_probabilities[selected], self.probabilities[selected])


def doubly_robust_rewards(predicted: Floats, batch: Batch, parts: Parts, clip: float) -> Floats:
    """The reward of every choice: the model's prediction, corrected for the served choice.

        Rdr_a = R_a + 1[a = a_i] min(1 / p_i, M) (r_i - R_a)

    Each part has its own propensity. Unbiased where no weight is clipped or the model is right.

    Args:
        predicted: R, shape (n, K).
        batch: n examples.
        parts: the columns.
        clip: M.

    References:
        Dudik, Langford and Li, "Doubly robust policy evaluation and learning", ICML 2011.
    """
    rows = np.arange(len(batch))[:, None]
    columns = parts.columns(batch.actions)
    rewards = predicted.copy()
    served = predicted[rows, columns]
    rewards[rows, columns] += np.minimum(1 / batch.propensities, clip) * (batch.rewards[:, None] - served)
    return rewards


def gain(forward: Forward, rewards: Floats, weights: Floats, parts: Parts, scale: float) -> Term:
    """The negative expected reward of the learnt heads: the policy gradient, exact over the choices.

        -c / n  sum_i omega_i sum_parts sum_a p1_i(a) Rdr_i(a)

    Args:
        forward: the learnt heads on n examples.
        rewards: ``doubly_robust_rewards``, shape (n, K); treated as a constant.
        weights: omega, shape (n,).
        parts: the columns.
        scale: c.
    """
    values = parts.sums(forward.probabilities * rewards)
    factor = weights[:, None] * (-scale / len(weights))
    by_logit = factor * forward.probabilities * (rewards - parts.spread(values))
    return Term(float((factor * values).sum()), forward.features.T @ by_logit)


def anchor_kl(forward: Forward, base_log_probabilities: Floats, batch_size: int, scale: float) -> Term:
    """How far the learnt heads move from the base on its own prompts.

        scale / n  sum_{i in anchors} sum_parts KL(p0_i || p1_i)

    n is the whole batch, live examples included, so that the weights of this term and of ``gain`` compare per example.

    Args:
        forward: the learnt heads on the anchors of the batch.
        base_log_probabilities: log p0 of the same anchors, shape (anchors, K).
        batch_size: n.
        scale: weight of the term.
    """
    base = np.exp(base_log_probabilities)
    value = (base * (base_log_probabilities - forward.log_probabilities)).sum()
    factor = scale / batch_size
    return Term(float(value) * factor, forward.features.T @ ((forward.probabilities - base) * factor))


def total_gradient(terms: Iterable[Term]) -> Floats:
    """Sums the gradients of all terms."""
    first, *others = (term.gradient for term in terms)
    total = first.copy()
    for gradient in others:
        total += gradient
    return total
