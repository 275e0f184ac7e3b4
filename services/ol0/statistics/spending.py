"""Spreads one false-alarm budget over a sequence of tests of unknown length."""


def candidate_alpha(candidate: int, alpha: float) -> float:
    """The level at which the k-th candidate since the last release is tested: alpha / (k (k + 1)).

    A learner whose candidates are all as bad as they may be would otherwise get one past the gate sooner or later: at
    .05 each, two out of three in twenty. The shares 1/2, 1/6, 1/12, ... sum to 1, so the probability that any bad
    candidate passes before the next release is at most ``alpha``, however many try. A late candidate pays little: the
    evidence it needs grows by log(k (k + 1)) nats, 1.1 more for the second and 4 more for the tenth than for the first.

    Args:
        candidate: k, counted from 1 after each release.
        alpha: the whole budget, within (0, 1).

    Raises:
        ValueError: a count below 1, or a budget outside (0, 1).

    References:
        Foster and Stine, "Alpha-investing", JRSS B 70(2), 2008, which calls this kind of rule alpha-spending.

    >>> [round(candidate_alpha(k, 0.05), 4) for k in (1, 2, 3)]
    [0.025, 0.0083, 0.0042]
    >>> sum(candidate_alpha(k, 0.05) for k in range(1, 10_000)) < 0.05
    True
    """
    if candidate < 1:
        raise ValueError(f"candidates are counted from 1, found {candidate}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie within (0, 1), found {alpha}")
    return alpha / (candidate * (candidate + 1))
