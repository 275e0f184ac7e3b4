"""Fisher information of softmax heads: how much the base's answers hang on each weight."""

import numpy as np

from ol0.controller.heads import Floats


def softmax_fisher(features: Floats, probabilities: Floats) -> Floats:
    """Diagonal of the Fisher information of linear softmax heads, exact, averaged over examples.

        F_da = mean_i E_{y ~ p(. | x_i)} [ (d log p(y | x_i) / d W_da)^2 ] = mean_i x_id^2 p_ia (1 - p_ia)

    The gradient of one example for one outcome is x (1[y = a] - p_a); its square is averaged over the model's own
    outcomes and over the examples, in this order. Squaring a batch's mean gradient instead, or taking the observed
    label for y, is another quantity (Kunstner et al., "Limitations of the empirical Fisher", NeurIPS 2019).

    Args:
        features: with an appended 1 where the heads have a bias, shape (n, D + 1).
        probabilities: of every choice, the parts of an action side by side, shape (n, K).

    Returns:
        Shape (D + 1, K); zeros without examples.
    """
    fisher = (features**2).T @ (probabilities * (1 - probabilities)) / max(len(features), 1)
    return np.asarray(fisher, probabilities.dtype)
