"""Prioritised replay: examples that surprise the reward model are drawn more often.

References:
    Schaul et al., "Prioritized experience replay", ICLR 2016.
"""

import numpy as np

from ol0.config import OnlineLearningConfig
from ol0.controller.heads import Floats


def surprise(errors: Floats) -> Floats:
    """|r - R|, mean over the parts, shape (n,): the new priority, without the epsilon that the buffer adds.

    Args:
        errors: r - R of the served choices, shape (n, parts).
    """
    return np.asarray(np.abs(errors).mean(axis=1), errors.dtype)


def importance_exponent(examples: int, config: OnlineLearningConfig) -> float:
    """Beta grows with the examples from ``priority_beta`` to 1: bias matters most near convergence."""
    progress = min(1.0, examples / config.priority_beta_examples)
    return config.priority_beta + (1 - config.priority_beta) * progress
