"""By how much a candidate is expected to answer better than what serves, and how sure that is."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ol0.controller.heads import Doubles, Floats
from ol0.learning.values.ridge import Numbers, Posterior


@dataclass(frozen=True, slots=True)
class Answered:
    """What live prompts get in one part.

    Attributes:
        x: the prompts as the fit sees them, shape (n, m).
        posterior: of the values.
        taken: the candidate's answers, shape (n,).
        kept: those of what serves, shape (n,).
    """

    x: Doubles
    posterior: Posterior
    taken: Numbers
    kept: Numbers


def answers(shares: Floats, learnt: Floats, gate: Floats) -> Numbers:
    """What serves of base and learnt heads' policies (n, K), mixed by the gate (n, 1): shape (n,)."""
    return np.asarray(((1 - gate) * shares + gate * learnt).argmax(axis=1))


def lead(parts: Iterable[Answered]) -> float:
    """Standard errors by which the candidate's answers are expected to be worth more; 0 where all are alike."""
    mean = variance = 0.0
    for it in parts:
        # Where both answer alike nothing is added and taken away again: what rounding left would be a lead.
        other = np.flatnonzero(it.taken != it.kept)
        contrast, each = np.zeros_like(it.posterior.weights), it.x[other] / len(it.x)
        np.add.at(contrast, it.taken[other], each)
        np.subtract.at(contrast, it.kept[other], each)
        more, doubt = it.posterior.difference(contrast)
        mean, variance = mean + more, variance + doubt
    return float(mean / np.sqrt(variance)) if variance else 0.0
