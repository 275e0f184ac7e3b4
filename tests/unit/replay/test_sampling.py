import numpy as np
import pytest

from ol0.errors import NothingToDraw
from ol0.replay.sampling import draw, importance_weights, priority_mass


def test_draws_have_exactly_the_distribution_of_the_priorities() -> None:
    # A full ring of 10,000, some of it empty, drawn a batch of 256 at a time
    rng = np.random.default_rng(3)
    priorities = (rng.exponential(size=10_000) + 0.05).astype(np.float32)
    priorities[::17] = 0
    mass = priority_mass(priorities, 0.6)
    batches = 1_000_000 // 256

    drawn = np.zeros(len(mass))
    for _ in range(batches):
        drawn += np.bincount(draw(mass, 256, rng), minlength=len(mass))

    expected = mass / mass.sum() * batches * 256
    held = expected > 0
    assert not np.any(drawn[~held])
    chi_square = ((drawn - expected)[held] ** 2 / expected[held]).sum() / (held.sum() - 1)
    assert chi_square <= 1.1  # the goal of the design; fair draws are within 1 +- .015


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_a_slot_without_priority_is_never_drawn(alpha: float) -> None:
    mass = priority_mass(np.array([0, 1, 0, 1, 0], np.float32), alpha)

    assert set(draw(mass, 1_000, np.random.default_rng(0))) == {1, 3}


def test_the_largest_random_number_still_draws_a_slot_with_mass() -> None:
    class Edge(np.random.Generator):
        def random(self, size: int) -> np.ndarray:  # type: ignore[override]
            return np.ones(size)

    assert draw(np.array([1.0, 1.0, 0.0]), 1, Edge(np.random.PCG64(0))).tolist() == [1]


def test_nothing_can_be_drawn_from_an_empty_ring() -> None:
    for mass in (np.zeros(0), np.zeros(3)):
        with pytest.raises(NothingToDraw, match="empty"):
            draw(mass, 1, np.random.default_rng(0))


def test_weights_undo_the_bias_of_the_draw() -> None:
    mass = np.array([1.0, 3.0, 0.0])
    slots = np.array([0, 1])

    np.testing.assert_allclose(importance_weights(mass, slots, 1.0), [1, 1 / 3])
    np.testing.assert_allclose(importance_weights(mass, slots, 0.5), [1, 3**-0.5], rtol=1e-6)
    np.testing.assert_allclose(importance_weights(mass, slots, 0.0), [1, 1])
