import numpy as np
import pytest

from ol0.learner.batch import cap_users, join, unit_of
from ol0.learner.parts import Parts
from unit.learner.learner_world import logged, make_base


def test_no_user_weighs_more_than_the_cap() -> None:
    users = np.array([1, 1, 1, 1, 2, 3, 4, 5], np.uint64)
    weights = np.ones(8, np.float32)
    capped = cap_users(weights, users, 0.25)
    assert capped[:4].sum() == pytest.approx(0.25 * 8)
    np.testing.assert_array_equal(capped[4:], weights[4:])
    assert capped.dtype == np.float32


def test_with_few_users_each_counts_for_an_even_share_at_most() -> None:
    users = np.array([1] * 8 + [2] * 2, np.uint64)
    capped = cap_users(np.ones(10, np.float32), users, 0.05)
    assert capped[:8].sum() == pytest.approx(5)
    assert capped[8:].sum() == pytest.approx(2)
    np.testing.assert_array_equal(cap_users(np.ones(10, np.float32), np.zeros(10, np.uint64), 0.05), np.ones(10))


def test_weights_of_zero_stay_zero() -> None:
    assert not cap_users(np.zeros(3, np.float32), np.arange(3).astype(np.uint64), 0.5).any()


def test_who_is_known_is_capped_by_user_and_others_by_session() -> None:
    assert unit_of("anna", "s1") == unit_of("anna", "s2")
    assert unit_of(None, "s1") != unit_of(None, "s2")
    assert unit_of("s1", "x") != unit_of(None, "s1")


def test_joining_keeps_the_order() -> None:
    batch = logged(make_base((2, 3)), 6)
    both = join(batch.take(np.array([4, 1])), batch.take(np.array([0])))
    np.testing.assert_array_equal(both.features, batch.features[[4, 1, 0]])
    assert len(both) == 3


def test_heads_survive_stacking() -> None:
    base = make_base((2, 3, 4))
    parts = Parts(base.choices)
    for head, again in zip(base.base, parts.unstack(parts.stack(base.base)), strict=True):
        np.testing.assert_array_equal(head.weight, again.weight)
        np.testing.assert_array_equal(head.bias, again.bias)


def test_each_part_has_probabilities_of_its_own() -> None:
    parts = Parts((2, 3))
    log_probabilities = parts.log_softmax(np.array([[1.0, 1.0, 1e4, 0.0, 0.0]]))
    np.testing.assert_allclose(parts.sums(np.exp(log_probabilities)), [[1, 1]])
    assert np.isfinite(log_probabilities).all()
    np.testing.assert_array_equal(parts.spread(np.array([[7.0, 8.0]])), [[7, 7, 8, 8, 8]])
    np.testing.assert_array_equal(parts.columns(np.array([[1, 2]])), [[1, 4]])
