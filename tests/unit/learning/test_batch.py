from collections.abc import Callable

import numpy as np
import pytest

from ol0.controller.heads import Floats
from ol0.learning.batch import Users, cap_users, join, unit_of
from ol0.learning.parts import Parts
from unit.learning.learner_world import logged, make_base


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


def units(*who: tuple[str | None, str]) -> Users:
    return np.array([unit_of(user, session) for user, session in who], np.uint64)


def shares(users: Users, cap: float) -> Floats:
    """What each example counts for, of a batch in which all came with the same weight."""
    return np.asarray(cap_users(np.ones(len(users), np.float32), users, cap) / np.float32(len(users)))


HONEST: list[tuple[str | None, str]] = [(f"user {n}", f"session {n}") for n in range(20)]


def test_one_user_with_many_sessions_has_one_cap() -> None:
    users = units(*HONEST, *(("flooder", f"flood {n}") for n in range(60)))
    capped = shares(users, 0.05)
    assert capped[20:].sum() == pytest.approx(0.05)
    np.testing.assert_allclose(capped[:20], 1 / 80)


def test_one_session_that_invents_users_has_one_cap() -> None:
    users = units(*HONEST, *((f"invented {n}", "one session") for n in range(60)))
    capped = shares(users, 0.05)
    assert capped[20:].sum() == pytest.approx(0.05)
    np.testing.assert_allclose(capped[:20], 1 / 80)


@pytest.mark.parametrize("flood", [lambda n: ("flooder", f"s{n}"), lambda n: (f"u{n}", "one session")])
def test_a_flood_of_names_leaves_the_share_of_few_honest_users_alone(
    flood: Callable[[int], tuple[str | None, str]],
) -> None:
    # Given three honest users with ten examples each, and one who comes under fifty names
    honest = [(f"user {n % 3}", f"session {n % 3}") for n in range(30)]
    capped = shares(units(*honest, *(flood(n) for n in range(50))), 0.01)
    # Then there are four, and four have a quarter each at most
    np.testing.assert_allclose(capped[:30], 1 / 80)
    assert capped[30:].sum() == pytest.approx(0.25)


def one_by_one(weights: Floats, users: Users, cap: float) -> Floats:
    """The definition, example by example."""
    people = [int(user) % 2**32 for user in users]
    sessions = [int(user) >> 32 or int(user) % 2**32 for user in users]
    limit = max(cap, 1 / min(len(set(people)), len(set(sessions)))) * float(weights.sum())
    capped = []
    for row, weight in enumerate(weights):
        largest = max(
            sum(float(other) for other, name in zip(weights, names, strict=True) if name == names[row])
            for names in (people, sessions)
        )
        capped.append(float(weight) * min(1.0, limit / largest) if largest else 0.0)
    return np.array(capped, np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_many_examples_are_capped_as_the_definition_says_of_each(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names, sessions = rng.integers(1, 12, 200), rng.integers(1, 25, 200)
    who = [
        (None if name == 1 else f"user {name}", f"session {session}")
        for name, session in zip(names, sessions, strict=True)
    ]
    weights = (rng.random(200) * (rng.random(200) < 0.9)).astype(np.float32)
    for users in (units(*who), names.astype(np.uint64)):
        for cap in (0.0, 0.12, 0.3, 1.0):
            np.testing.assert_allclose(cap_users(weights, users, cap), one_by_one(weights, users, cap), rtol=1e-5)


def test_sessions_without_a_user_are_capped_each_for_itself() -> None:
    anonymous = [(None, f"anonymous {n}") for n in range(10)]
    users = units(*HONEST, *anonymous, *[(None, "long")] * 50)
    capped = shares(users, 0.05)
    np.testing.assert_allclose(capped[:30], 1 / 80)
    assert capped[30:].sum() == pytest.approx(0.05)


def test_users_and_sessions_are_told_apart_in_every_process() -> None:
    anna, same, other = unit_of("anna", "s1"), unit_of("anna", "s1"), unit_of("anna", "s2")
    assert anna == same
    assert anna != other
    assert anna % 2**32 == other % 2**32
    assert unit_of(None, "s1") >> 32 == anna >> 32
    assert unit_of(None, "s1") % 2**32 != unit_of(None, "s2") % 2**32
    assert unit_of("s1", "x") % 2**32 != unit_of(None, "s1") % 2**32


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
