"""The evaluation's own parts: streams, baselines, summaries and pages."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.evaluation.contenders import CONTENDERS, ours, usual_fisher, weighted_gradient
from benchmarks.evaluation.page import BEGIN, END, put_tables
from benchmarks.evaluation.play import Figures
from benchmarks.evaluation.plot import draw
from benchmarks.evaluation.scenarios import STALE_ANGLE, USUAL, Scenario, target_of, turn
from benchmarks.evaluation.summary import Summary, half_of_the_gain
from benchmarks.evaluation.worlds import USERS, Pool, World, fit, vote
from ol0.controller.heads import Floats
from ol0.learning.batch import Batch
from ol0.learning.parts import Parts, with_bias

PARTS = Parts((3,))
RUN = Figures(60.0, 40.0, -0.5, 50.0, [(100, 45.0), (200, 60.0)], {"a": (50, 40.0, 20.0), "b": (9, 0.0, -9.0)}, "a")


def small_pool(seed: int, count: int, kinds: tuple[str, ...]) -> Pool:
    rng = np.random.default_rng(seed)
    names = rng.choice(kinds, count)
    right = np.array([sum(name.encode()) % 3 for name in names])
    features = rng.normal(size=(count, 6)).astype(np.float32) + right[:, None]
    success = np.where(np.arange(3) == right[:, None], 0.9, 0.1).astype(np.float32)
    return Pool(features.astype(np.float32), success, names)


@pytest.fixture(scope="module")
def world() -> World:
    old, new = small_pool(1, 300, ("x", "y")), small_pool(2, 120, ("a", "b", "c"))
    base, rng = fit(old, 0), np.random.default_rng(3)
    logged = vote(old.take(np.arange(80)), base.greedy(old.features[:80])[:, 0], rng)
    return World(base, logged, old, new, small_pool(4, 90, ("x", "y")), small_pool(5, 90, ("a", "b", "c")))


def logged(count: int) -> Batch:
    pool = small_pool(7, count, ("a", "b"))
    return vote(pool, np.zeros(count, np.intp), np.random.default_rng(8))


def heads() -> Floats:
    return np.random.default_rng(9).normal(0, 0.2, (7, 3)).astype(np.float32)


def test_in_the_usual_stream_every_new_prompt_comes_once(world: World) -> None:
    stream = USUAL.stream(world, np.random.default_rng(0))

    assert sorted(map(bytes, stream.features)) == sorted(map(bytes, world.new.features))


@pytest.mark.parametrize(("share", "count"), [(0.5, 240), (0.3, 400), (0.0, 120)])
def test_old_prompts_make_up_the_rest(world: World, share: float, count: int) -> None:
    stream = Scenario("", new_share=share).stream(world, np.random.default_rng(0))

    is_new = np.isin(stream.kinds, ["a", "b", "c"])
    assert (len(stream), is_new.sum()) == (count, 120 if share else 0)
    if share:
        assert 0 < is_new[: count // 2].sum() < 120, "they are mixed"


def test_kinds_in_sequence_come_one_after_the_other(world: World) -> None:
    kinds = Scenario("", in_sequence=True).stream(world, np.random.default_rng(0)).kinds

    assert (kinds[1:] != kinds[:-1]).sum() == 2


def test_stale_features_are_turned_by_the_angle_and_keep_their_length() -> None:
    features = small_pool(1, 50, ("x",)).features

    turned = turn(features, np.random.default_rng(0))

    lengths = np.linalg.norm(features, axis=1)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), lengths, rtol=1e-5)
    np.testing.assert_allclose((turned * features).sum(axis=1) / lengths**2, np.cos(STALE_ANGLE), rtol=1e-4)


def test_inverted_users_oppose_everywhere_and_liars_at_one_kind_only(world: World) -> None:
    pool = world.new.take(np.tile(np.arange(120), 20))
    greedy, target = np.zeros(len(pool), np.intp), target_of(world)

    honest, inverted, lying = (
        scenario.say(pool, greedy, target, np.random.default_rng(0))
        for scenario in (USUAL, replace(USUAL, inverted=0.1), replace(USUAL, lying=0.2))
    )

    np.testing.assert_array_equal(inverted.rewards != honest.rewards, honest.users < 0.1 * USERS)
    expected = (honest.users < 0.2 * USERS) & (pool.kinds == target)
    np.testing.assert_array_equal(lying.rewards != honest.rewards, expected)
    assert 0 < expected.mean() < 0.2


def test_missing_votes_are_missing(world: World) -> None:
    pool = world.new.take(np.tile(np.arange(120), 20))

    said = replace(USUAL, missing=0.3).say(pool, np.zeros(len(pool), np.intp), "a", np.random.default_rng(0))

    assert len(said) / len(pool) == pytest.approx(0.7, abs=0.04)


def test_the_weighted_gradient_is_the_slope_of_the_weighted_mean() -> None:
    batch, weights, baseline = logged(40), heads(), 0.4
    batch = replace(batch, propensities=np.full((40, 1), 0.99, np.float32))  # no ratio is clipped

    def loss(at: NDArray[np.float64]) -> float:
        logits = with_bias(batch.features).astype(np.float64) @ at
        chosen = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))[np.arange(40), batch.actions[:, 0]]
        return -float(np.mean(chosen / 0.99 * (batch.rewards - baseline)))

    gradient, step = weighted_gradient(weights, batch, PARTS, baseline), 1e-5
    for place in ((0, 0), (3, 1), (6, 2)):
        shift = np.zeros(weights.shape)
        shift[place] = step
        slope = (loss(weights + shift) - loss(weights - shift)) / (2 * step)
        assert gradient[place] == pytest.approx(slope, abs=1e-5)


def test_the_usual_fisher_of_single_examples_is_the_mean_of_their_squares() -> None:
    batch, weights = logged(30), heads()
    towards = -np.exp(PARTS.log_softmax(with_bias(batch.features) @ weights))
    towards[np.arange(30), batch.actions[:, 0]] += 1
    each = with_bias(batch.features)[:, :, None] * towards[:, None, :]

    np.testing.assert_allclose(usual_fisher(weights, batch, PARTS, 1), (each**2).mean(axis=0), rtol=1e-4)
    assert usual_fisher(weights, batch, PARTS, 10).sum() < (each**2).mean(axis=0).sum()


@pytest.mark.parametrize("name", ["frozen base", "importance weighting", "OL0", "OL0, gradient", "without mixer"])
def test_a_contender_starts_as_the_base_and_what_it_learnt_serves_when_it_is_settled(world: World, name: str) -> None:
    player, prompts = CONTENDERS[name](world, 0), world.new_test.features
    before = world.base.greedy(prompts)[:, 0]
    np.testing.assert_array_equal(player.greedy(prompts), before)

    for start in range(0, 1_200, 30):
        coming = world.new.take(np.arange(start, start + 30) % len(world.new))
        player.learn(vote(coming, player.greedy(coming.features), np.random.default_rng(start)))
        np.testing.assert_array_equal(player.greedy(prompts), before)
    player.settle()

    if name in ("importance weighting", "without mixer"):
        assert (player.greedy(prompts) != before).any()


def test_a_number_that_is_none_of_the_learners_is_refused() -> None:
    with pytest.raises(ValueError, match="no_such_number"):
        ours(no_such_number=1.0)


def test_half_of_the_gain_lies_between_two_points_of_the_mean_curve() -> None:
    assert half_of_the_gain([[(100, 40.0), (200, 60.0)], [(100, 40.0), (200, 60.0)]], 40.0) == 150
    assert half_of_the_gain([[(100, 40.2), (200, 40.4)]], 40.0) is None
    assert half_of_the_gain([], 40.0) is None


def test_a_summary_has_the_spread_the_worst_split_and_the_kinds_that_are_frequent_enough() -> None:
    summary = Summary.of([RUN, replace(RUN, new=56.0, old=-0.1)])

    assert (summary.new, summary.new_spread, summary.worst_new) == (58.0, 2.0, 56.0)
    assert summary.old == pytest.approx(-0.3)
    assert summary.worst_old == -0.5
    assert (summary.kind_down, summary.kind_up, summary.target) == (20.0, 20.0, 20.0)


def test_the_page_gets_its_tables_between_the_marks_and_keeps_the_rest() -> None:
    found = {("OL0", USUAL.name): Summary.of([RUN])}

    page = put_tables(f"before\n{BEGIN}\nold\n{END}\nafter\n", found)

    assert page.startswith(f"before\n{BEGIN}\n| what learns | new |")
    assert page.endswith(f"{END}\nafter\n")
    assert "| OL0 | 60.0 ± 0.0 | 60.0 | -0.50 ± 0.00 | -0.50 | 133 |" in page
    assert "old" not in page.partition(BEGIN)[2].partition("change on old")[0]
    with pytest.raises(ValueError, match="no "):
        put_tables("no marks", found)


def test_the_plot_names_every_contender(tmp_path: Path) -> None:
    names = ("OL0", "frozen base", "without EWC")

    draw({name: Summary.of([RUN, replace(RUN, new=61.0, old=0.1)]) for name in names}, tmp_path / "plot.svg")

    text = (tmp_path / "plot.svg").read_text()
    assert all(f"<!-- {name} -->" in text for name in names)
