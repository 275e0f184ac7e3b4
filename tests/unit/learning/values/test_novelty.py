import numpy as np
import pytest

from ol0.learning.values.novelty import Novelty

R = 8


def both(n: int, shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Old prompts about the origin, new ones beside it in the first direction."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, R)), rng.normal(size=(n, R)) + shift * (np.arange(R) == 0)


def test_the_direction_of_the_shift_is_found() -> None:
    weight = Novelty.between(*both(800, 2.0)).weight
    assert weight[0] / np.linalg.norm(weight) > 0.98


def test_the_log_odds_of_gaussians_are_found() -> None:
    # Of N(0, 1) and N(2, 1) in the first direction, log odds are 2 x - 2.
    found = Novelty.between(*both(4_000, 2.0))
    prompts = np.concatenate(both(500, 2.0, seed=1))
    np.testing.assert_allclose(found.of(prompts), 2 * prompts[:, 0] - 2, atol=0.6)


def test_half_way_between_both_is_neither_old_nor_new() -> None:
    old, new = both(300, 3.0)
    half_way = (old.mean(axis=0) + new.mean(axis=0)) / 2
    assert Novelty.between(old, new).of(half_way[None])[0] == pytest.approx(0, abs=1e-9)


def test_where_live_prompts_are_old_ones_nothing_looks_new() -> None:
    old, _ = both(2_000, 0.0)
    live, _ = both(2_000, 0.0, seed=1)
    assert np.abs(Novelty.between(old, live).of(live)).max() < 1


@pytest.mark.parametrize("known", [0, 5])
def test_with_one_side_empty_nothing_is_new(known: int) -> None:
    old, new = both(5, 2.0)
    found = Novelty.between(old[:known], new[: 5 - known])
    assert not found.of(new).any()


def test_fewer_prompts_than_directions_are_no_reason_to_fail() -> None:
    assert np.isfinite(Novelty.between(*(side[:2] for side in both(3, 2.0))).weight).all()
