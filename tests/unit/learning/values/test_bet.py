import numpy as np
import pytest

from ol0.learning.values.evidence import MOST, SURE, Bet

ERRORS = 3.0


def test_the_capital_grows_as_the_likelihood_ratio_of_votes() -> None:
    model, base, rewards = np.array([0.8, 0.3, 0.6]), np.array([0.5, 0.6, 0.7]), np.array([1.0, 0.0, 1.0])
    likelihood = np.where(rewards == 1, model, 1 - model) / np.where(rewards == 1, base, 1 - base)
    assert Bet().after(model, base, rewards).nats == pytest.approx(np.log(likelihood).sum())


def test_votes_in_two_parts_are_worth_what_they_are_worth_in_one() -> None:
    model, base, rewards = np.random.default_rng(0).uniform(0.3, 0.7, (3, 40))
    parts = Bet().after(model[:15], base[:15], rewards[:15]).after(model[15:], base[15:], rewards[15:])
    assert parts == Bet().after(model, base, rewards)


def test_where_both_sides_say_the_same_nothing_is_staked() -> None:
    same = np.linspace(0, 1, 20)
    assert Bet(1.5).after(same, same, np.ones(20)) == Bet(1.5)


def test_the_base_knows_as_much_and_the_capital_is_seldom_large_whenever_one_looks() -> None:
    # Given votes as the base believes them, and a model that says something else, otherwise for every vote
    rng = np.random.default_rng(1)
    runs, votes, errors = 1_000, 300, 1.5
    alpha = np.exp(-(errors**2))
    won = 0
    for _ in range(runs):
        base = rng.uniform(0.2, 0.8, votes)
        model, rewards = np.clip(base + rng.normal(size=votes) * 0.2, 0, 1), (rng.random(votes) < base).astype(float)
        bet, largest = Bet(), 0.0
        for at in range(votes):
            bet = bet.after(model[at : at + 1], base[at : at + 1], rewards[at : at + 1])
            largest = max(largest, bet.errors)
        won += largest >= errors
    # Then it looks convincing once in as many runs as promised, at most (three standard errors of the count)
    assert won <= alpha * runs + 3 * (alpha * runs) ** 0.5


def test_where_the_model_is_right_the_capital_grows() -> None:
    rng = np.random.default_rng(2)
    model = rng.uniform(0.5, 0.9, 300)
    bet = Bet().after(model, model - 0.25, (rng.random(300) < model).astype(float))
    assert bet.errors > ERRORS


def test_capital_has_a_bound_and_debt_has_none_and_is_no_evidence() -> None:
    sure, wrong, rewards = np.full(400, 1.0), np.full(400, 0.2), np.ones(400)
    assert Bet().after(sure, wrong, rewards).nats == MOST
    # A debt that were forgiven would be capital for nothing
    assert Bet().after(wrong, sure, rewards).nats == pytest.approx(400 * np.log(0.2 / SURE))
    assert Bet(-3.0).errors == 0


def test_neither_side_is_sure_so_that_no_vote_ends_the_bet() -> None:
    never, always = np.array([0.0]), np.array([1.0])
    odds = np.log(SURE / (1 - SURE))
    assert Bet().after(always, never, np.ones(1)).nats == pytest.approx(odds)
    assert Bet(MOST).after(always, never, np.zeros(1)).nats == pytest.approx(MOST - odds)
