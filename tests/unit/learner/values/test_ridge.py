import numpy as np
import pytest

from ol0.learner.values.ridge import Moments, Posterior
from ol0.learner.values.scales import Scales

K, M = 3, 4
SCALES = Scales(noise=0.2, shared=0.5, own=0.1, own_offset=0.3, slopes=2, offsets=2)


def observations(n: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, M)), rng.integers(0, K, n), rng.random(n), rng.random(n)


def brute_force(
    x: np.ndarray, taken: np.ndarray, y: np.ndarray, w: np.ndarray, scales: Scales
) -> tuple[np.ndarray, np.ndarray]:
    """All K + 1 parts as one big ridge: means and covariance of (g, d_1, ..., d_K)."""
    design = np.zeros((len(x), (K + 1) * M))
    design[:, :M] = x
    for row, expert in enumerate(taken):
        design[row, (expert + 1) * M : (expert + 2) * M] = x[row]
    prior = np.concatenate([scales.shared_prior, *[scales.own_prior] * K])
    covariance = np.linalg.inv((design.T * w) @ design / scales.noise + np.diag(1 / prior))
    return covariance @ (design.T @ (w * y)) / scales.noise, covariance


def test_the_closed_form_is_the_ridge_of_all_parts_at_once() -> None:
    x, taken, y, w = observations()
    mean, covariance = brute_force(x, taken, y, w, SCALES)

    posterior = Posterior.of(Moments.of_votes(x, taken, y, w, K), SCALES)

    np.testing.assert_allclose(posterior.common, mean[:M], atol=1e-9)
    np.testing.assert_allclose(posterior.weights, mean[:M] + mean[M:].reshape(K, M), atol=1e-9)
    np.testing.assert_allclose(posterior.shared, covariance[:M, :M], atol=1e-9)
    np.testing.assert_allclose(posterior.own_variances().ravel(), np.diag(covariance)[M:], atol=1e-9)


def test_the_variance_of_a_sum_counts_what_experts_share() -> None:
    x, taken, y, w = observations()
    _, covariance = brute_force(x, taken, y, w, SCALES)
    along = np.random.default_rng(1).normal(size=(K, M))
    whole = np.concatenate([along.sum(axis=0), along.ravel()])

    posterior = Posterior.of(Moments.of_votes(x, taken, y, w, K), SCALES)

    assert posterior.variance(along) == pytest.approx(whole @ covariance @ whole)


def test_residuals_come_from_moments_alone() -> None:
    x, taken, y, w = observations()
    moments = Moments.of_votes(x, taken, y, w, K)
    posterior = Posterior.of(moments, SCALES)
    errors = y - (x * posterior.weights[taken]).sum(axis=1)
    assert posterior.residual_squares(moments) == pytest.approx(float((w * errors**2).sum()))


def test_a_label_is_a_vote_for_every_expert() -> None:
    x, _, _, _ = observations()
    values = np.random.default_rng(2).random((len(x), K))
    votes = [Moments.of_votes(x, np.full(len(x), a), values[:, a], np.ones(len(x)), K) for a in range(K)]
    together, labels = votes[0] + votes[1] + votes[2], Moments.of_labels(x, values)
    np.testing.assert_allclose(labels.gram, together.gram)
    np.testing.assert_allclose(labels.target, together.target)
    assert (labels.squares, labels.count) == pytest.approx((together.squares, together.count))


def test_the_posterior_of_the_bases_own_prompts_is_the_penalty_of_ewc() -> None:
    """Fitted on labels, then on votes with (w - w_base)' F (w - w_base) as penalty: the same as on both at once."""
    x, taken, y, w = observations()
    rng = np.random.default_rng(3)
    prompts = rng.normal(size=(30, M))
    labels = rng.random((30, K))
    scales = Scales(noise=0.2, shared=1e-12, own=0.1, own_offset=0.3, slopes=M, offsets=0)
    known, live = Moments.of_labels(prompts, labels), Moments.of_votes(x, taken, y, w, K)
    alone = Posterior.of(known, scales).weights
    # Of a Gaussian: E (d log p / d w)^2 = x x' E e^2 / noise^2 = x x' / noise, here summed over prompts.
    fisher = prompts.T @ prompts / scales.noise
    penalty = fisher + np.diag(1 / scales.own_prior)

    both = Posterior.of(known + live, scales).weights

    for expert in range(K):
        penalised = np.linalg.solve(
            live.gram[expert] / scales.noise + penalty, live.target[expert] / scales.noise + penalty @ alone[expert]
        )
        np.testing.assert_allclose(both[expert], penalised, atol=1e-6)


@pytest.mark.parametrize("own", [0.002, 0.05])
def test_the_scales_are_found(own: float) -> None:
    rng = np.random.default_rng(4)
    slopes, experts, n = 30, 12, 6_000
    x = np.column_stack([rng.normal(size=(n, slopes)), np.ones(n), rng.random(n)])
    shared = rng.normal(size=slopes + 2) * 0.1
    weights = shared + rng.normal(size=(experts, slopes + 2)) * own**0.5
    taken = rng.integers(0, experts, n)
    y = (x * weights[taken]).sum(axis=1) + rng.normal(size=n) * 0.5
    moments, scales = Moments.of_votes(x, taken, y, np.ones(n), experts), Scales.start(float(y.var()), slopes, 2)

    for _ in range(8):
        scales = scales.after(Posterior.of(moments, scales), moments)

    assert scales.own == pytest.approx(own, rel=0.25)
    assert scales.noise == pytest.approx(0.25, rel=0.1)
    assert scales.shared == pytest.approx(0.01, rel=0.7)


def test_where_experts_do_not_differ_nothing_is_made_of_it() -> None:
    rng = np.random.default_rng(5)
    x = np.column_stack([rng.normal(size=(4_000, 20)), np.ones((4_000, 2))])
    y = x[:, 0] * 0.3 + rng.normal(size=4_000) * 0.5
    moments, scales = Moments.of_votes(x, rng.integers(0, 8, 4_000), y, np.ones(4_000), 8), Scales.start(0.3, 20, 2)
    for _ in range(12):
        scales = scales.after(Posterior.of(moments, scales), moments)
    posterior = Posterior.of(moments, scales)
    assert np.abs(posterior.weights - posterior.common).max() < 0.05
