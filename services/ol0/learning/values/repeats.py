"""Twenty votes on one prompt are not votes on twenty prompts."""

import numpy as np
from numpy.typing import NDArray

from ol0.controller.heads import Doubles
from ol0.learning.values.ridge import Numbers

LEAST_PAIRS = 50  # with fewer votes on a prompt's same answer, one cannot tell how alike they are
UNKNOWN = 0.5


def cells(prompts: NDArray[np.uint64], actions: Numbers) -> Numbers:
    """Numbers equal where both prompt and action are: shapes (n,)."""
    _, number = np.unique(prompts, return_inverse=True)
    _, cell = np.unique(number.ravel() * (int(actions.max()) + 1) + actions, return_inverse=True)
    return np.asarray(cell.ravel(), np.intp)


def repeat_weights(cell: Numbers, alike: float) -> Doubles:
    """1 / (1 + (c - 1) rho) for each of c votes on one cell whose errors correlate by rho; shape (n,).

    References:
        Kish, "Survey sampling", 1965: the design effect.
    """
    count = np.bincount(cell)[cell]
    return np.asarray(1 / (1 + (count - 1) * alike))


def alikeness(cell: Numbers, errors: Doubles) -> float:
    """Correlation rho of errors within a cell: the mean product of two of them over the mean square, in [0, 1]."""
    sums, squares, count = np.bincount(cell, errors), np.bincount(cell, errors**2), np.bincount(cell).astype(float)
    pairs, square = float((count * (count - 1)).sum()), float((errors**2).mean())
    if pairs < LEAST_PAIRS or square <= 0:
        return UNKNOWN
    return float(np.clip((sums**2 - squares).sum() / pairs / square, 0, 1))
