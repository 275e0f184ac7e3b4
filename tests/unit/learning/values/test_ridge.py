import numpy as np
import pytest

from ol0.learning.values.ridge import Moments, Posterior
from ol0.learning.values.scales import Scales

K, M = 3, 4
SCALES = Scales(noise=0.2, shared=0.5, own=0.1, own_offset=0.3, slopes=M - 1)

Observations = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def observations(n: int = 40, seed: int = 0) -> Observations:
    """Features, choices, rewards, weights."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, M)), rng.integers(0, K, n), rng.random(n), rng.random(n)


def moments_of(seen: Observations) -> Moments:
    return Moments.of(*seen, K)


def brute_force(seen: Observations, scales: Scales) -> tuple[np.ndarray, np.ndarray]:
    """All K + 1 parts as one big ridge: means and covariance of (g, d_1, ..., d_K)."""
    x, taken, rewards, weights = seen
    design = np.zeros((len(x), (K + 1) * M))
    design[:, :M] = x
    for row, choice in enumerate(taken):
        design[row, (choice + 1) * M : (choice + 2) * M] = x[row]
    prior = np.concatenate([scales.shared_prior, *[scales.own_prior] * K])
    covariance = np.linalg.inv((design.T * weights) @ design / scales.noise + np.diag(1 / prior))
    return covariance @ (design.T @ (weights * rewards)) / scales.noise, covariance


def test_the_closed_form_is_the_ridge_of_all_parts_at_once() -> None:
    seen = observations()
    mean, covariance = brute_force(seen, SCALES)

    posterior = Posterior.of(moments_of(seen), SCALES)

    np.testing.assert_allclose(posterior.common, mean[:M], atol=1e-9)
    np.testing.assert_allclose(posterior.weights, mean[:M] + mean[M:].reshape(K, M), atol=1e-9)
    np.testing.assert_allclose(posterior.shared, covariance[:M, :M], atol=1e-9)
    np.testing.assert_allclose(posterior.own_variances().ravel(), np.diag(covariance)[M:], atol=1e-9)


def test_the_doubt_of_a_difference_is_that_of_the_whole_covariance() -> None:
    seen, contrast = observations(), np.random.default_rng(3).normal(size=(K, M))
    mean, covariance = brute_force(seen, SCALES)
    # In (g, d_1, ..., d_K) a contrast of the g + d_a has its sum at g.
    along = np.concatenate([contrast.sum(axis=0), contrast.ravel()])

    found = Posterior.of(moments_of(seen), SCALES).difference(contrast)

    np.testing.assert_allclose(found, (along @ mean, along @ covariance @ along), atol=1e-9)


def test_moments_of_two_sets_add_up_to_those_of_both() -> None:
    first, second = observations(seed=1), observations(25, seed=2)
    both = moments_of(tuple(np.concatenate(pair) for pair in zip(first, second, strict=True)))
    added = moments_of(first) + moments_of(second)
    for name in ("gram", "targets", "squares", "count"):
        np.testing.assert_allclose(getattr(added, name), getattr(both, name), err_msg=name)


def test_residuals_come_from_moments_alone() -> None:
    x, taken, rewards, weights = seen = observations()
    posterior = Posterior.of(moments_of(seen), SCALES)
    errors = rewards - (x * posterior.weights[taken]).sum(axis=1)
    assert posterior.residual_squares(moments_of(seen)) == pytest.approx(float((weights * errors**2).sum()))


def test_the_posterior_of_the_bases_own_prompts_is_the_penalty_of_ewc() -> None:
    """Fitted on anchors, then on votes with (w - w_base)' F (w - w_base) as penalty: the same as on both at once."""
    scales = Scales(noise=0.2, shared=1e-12, own=0.1, own_offset=0.3, slopes=M - 1)
    anchors, votes = observations(30, seed=4), observations()
    # Here without offsets, because these are shared by all choices.
    for features in (anchors[0], votes[0]):
        features[:, -1] = 0
    x, taken, _, weights = anchors
    known, live = moments_of(anchors), moments_of(votes)
    alone = Posterior.of(known, scales).weights

    together = Posterior.of(known + live, scales).weights

    for choice in range(K):
        # Of a Gaussian, log p = -w e^2 / (2 noise): E (d log p / d v)^2 = w x x' / noise, summed over the anchors.
        own = taken == choice
        fisher = (x[own].T * weights[own]) @ x[own] / scales.noise
        np.testing.assert_allclose(known.gram[choice] / scales.noise, fisher)
        penalty = fisher + np.diag(1 / scales.own_prior)
        told = live.targets[choice] / scales.noise + penalty @ alone[choice]
        penalised = np.linalg.solve(live.gram[choice] / scales.noise + penalty, told)
        np.testing.assert_allclose(together[choice], penalised, atol=1e-6)


def fitted(x: np.ndarray, taken: np.ndarray, y: np.ndarray, choices: int, rounds: int) -> tuple[Scales, Posterior]:
    n, slopes = len(y), x.shape[1] - 1
    moments = Moments.of(x, taken, y, np.ones(n), choices)
    scales = Scales.start(float(y.var()), slopes)
    for _ in range(rounds):
        scales = scales.after(Posterior.of(moments, scales), moments)
    return scales, Posterior.of(moments, scales)


@pytest.mark.parametrize("own", [0.002, 0.05])
def test_the_scales_are_found(own: float) -> None:
    rng = np.random.default_rng(4)
    slopes, choices, n = 30, 12, 6_000
    x = np.column_stack([rng.normal(size=(n, slopes)), np.ones(n)])
    shared = rng.normal(size=slopes + 1) * 0.1
    weights = shared + rng.normal(size=(choices, slopes + 1)) * own**0.5
    taken = rng.integers(0, choices, n)
    y = (x * weights[taken]).sum(axis=1) + rng.normal(size=n) * 0.5

    scales, _ = fitted(x, taken, y, choices, 8)

    assert scales.own == pytest.approx(own, rel=0.25)
    assert scales.noise == pytest.approx(0.25, rel=0.1)
    assert scales.shared == pytest.approx(0.01, rel=0.7)


def test_where_choices_do_not_differ_nothing_is_made_of_it() -> None:
    rng = np.random.default_rng(5)
    x = np.column_stack([rng.normal(size=(4_000, 20)), np.ones(4_000)])
    y = x[:, 0] * 0.3 + rng.normal(size=4_000) * 0.5
    _, posterior = fitted(x, rng.integers(0, 8, 4_000), y, 8, 12)
    assert np.abs(posterior.weights - posterior.common).max() < 0.05
