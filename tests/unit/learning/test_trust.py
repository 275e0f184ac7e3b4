import numpy as np

from ol0.learning.trust import Trust

HONEST, INVERTED, NEWCOMER = np.uint64(7), np.uint64(8), np.uint64(9)


def after_votes(count: int, rounds: int = 20) -> Trust:
    """An honest user and one who says the opposite, on decisions that the model predicts well."""
    rng, trust = np.random.default_rng(0), Trust.nobody()
    users = np.array([HONEST, INVERTED] * count)
    predicted = rng.choice([0.1, 0.9], len(users))
    good = rng.random(len(users)) < predicted
    rewards = np.where(users == HONEST, good, ~good).astype(np.float32)
    trust = trust.seen(users)
    for _ in range(rounds):
        trust = trust.drawn(users, rewards, predicted)
    return trust


def test_who_says_the_opposite_of_everybody_counts_for_the_floor_and_who_agrees_in_full() -> None:
    weights = after_votes(20).weights(np.array([HONEST, INVERTED, NEWCOMER]), floor=0.2)
    np.testing.assert_allclose(weights, [1, 0.2, 1], atol=1e-6)


def test_a_few_votes_against_everybody_are_chance() -> None:
    assert (after_votes(3).weights(np.array([HONEST, INVERTED]), floor=0.2) == 1).all()


def test_drawing_the_same_votes_again_and_again_makes_them_no_more_of_them() -> None:
    once, often = (after_votes(4, rounds).weights(np.array([INVERTED]), floor=0.0)[0] for rounds in (1, 200))
    assert often > once - 0.05


def test_who_changes_for_the_better_is_believed_again() -> None:
    trust, users = after_votes(20), np.full(60, INVERTED)
    for _ in range(20):
        trust = trust.drawn(users, np.ones(60, np.float32), np.full(60, 0.9))
    assert trust.weights(users[:1], floor=0.2)[0] == 1
