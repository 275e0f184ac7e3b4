"""The evaluation's streams: traffic, peers, what all labels allow, and the pages."""

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from benchmarks.evaluation import streams
from benchmarks.evaluation.ceilings import ALL_LABELS, ORACLE, ceilings
from benchmarks.evaluation.contenders import Frozen
from benchmarks.evaluation.matrices import get, put
from benchmarks.evaluation.peers import LinUCB, LogisticBandit, SingleExpert, logistic
from benchmarks.evaluation.players import FROZEN, PLAYERS
from benchmarks.evaluation.stream_page import BEGIN, END, Key, tables
from benchmarks.evaluation.stream_plot import draw as draw_plot
from benchmarks.evaluation.stream_summary import StreamSummary
from benchmarks.evaluation.traffic import NULLS, USUAL, Inbox, Outcome, Traffic, draw, play, points
from benchmarks.evaluation.worlds import Pool, World, fit, vote, votes_on
from ol0.controller.controller import Actions
from ol0.controller.heads import Floats
from ol0.learning.batch import Batch
from ol0.learning.parts import with_bias
from ol0.operator.setup.base_training import train_base
from ol0.operator.setup.prompts import Prompts

RUN = Outcome((41.0, 45.0, 50.0), 50.0, 69.0, 47.0, 30.0, 0.25)
BASE = Outcome((40.0, 40.0, 40.0), 40.0, 70.0, 42.0, 35.0, 0.01)
MOST = Outcome((), 60.0, 70.0, None, None, None)


def pool_of(seed: int, count: int, kind: str, shift: int) -> Pool:
    """Three experts; on every prompt two of them are right, and the shift says which one is not."""
    rng = np.random.default_rng(seed)
    side = rng.integers(0, 3, count)
    features = np.eye(3, dtype=np.float32)[side] + rng.normal(0, 0.1, (count, 3)).astype(np.float32)
    wrong = (side + shift) % 3
    success = np.where(np.arange(3) == wrong[:, None], 0.2, 0.8).astype(np.float32)
    return Pool(features.astype(np.float32), success, np.full(count, kind))


@pytest.fixture(scope="module")
def world() -> World:
    old, new = pool_of(1, 600, "old", 0), pool_of(2, 400, "new", 1)
    base, rng = fit(old, 0), np.random.default_rng(3)
    logged = vote(old.take(np.arange(200)), base.greedy(old.features[:200])[:, 0], rng)
    return World(base, logged, old, new, pool_of(4, 200, "old", 0), pool_of(5, 200, "new", 1))


def batch_of(pool: Pool, seed: int = 0) -> Batch:
    return vote(pool, np.zeros(len(pool), np.intp), np.random.default_rng(seed))


def test_the_base_is_the_one_that_labels_make() -> None:
    rng = np.random.default_rng(0)
    pool = Pool(
        rng.normal(size=(300, 3)).astype(np.float32),
        rng.random((300, 3)).round().astype(np.float32),
        np.full(300, "old"),
    )
    (head,), wanted = fit(pool, 5).base, train_base(Prompts(pool.features, pool.success, pool.kinds), 5)
    np.testing.assert_array_equal(head.weight, wanted.weight)
    np.testing.assert_array_equal(head.bias, wanted.bias)


def test_traffic_has_its_shares_of_new_prompts_silence_and_wrong_votes(world: World) -> None:
    traffic, rng = replace(USUAL, decisions=10_000), np.random.default_rng(0)
    kinds = np.concatenate([portion.kinds for portion in traffic.prompts(world, rng)])
    assert len(kinds) == 10_000
    assert (kinds == "new").mean() == pytest.approx(0.85, abs=0.02)

    certain = replace(world.new.take(np.tile(np.arange(400), 25)), success=np.ones((10_000, 3), np.float32))
    said = traffic.said(batch_of(certain), rng)
    assert len(said) == pytest.approx(8_000, abs=200)
    assert said.rewards.mean() == pytest.approx(0.98, abs=0.01)


def test_traffic_with_nothing_to_teach_teaches_nothing(world: World) -> None:
    only_old, coins = NULLS
    kinds = np.concatenate([portion.kinds for portion in only_old.prompts(world, np.random.default_rng(0))])
    assert set(kinds) == {"old"}

    certain = replace(world.new.take(np.tile(np.arange(400), 25)), success=np.ones((10_000, 3), np.float32))
    assert coins.said(batch_of(certain), np.random.default_rng(0)).rewards.mean() == pytest.approx(0.5, abs=0.02)


def test_votes_come_after_the_delay_and_in_full_batches(world: World) -> None:
    batches = [batch_of(world.new.take(np.arange(start, start + 20))) for start in range(0, 100, 20)]
    inbox = Inbox(delay=2)

    for batch in batches[:2]:
        inbox.put(batch)
    assert inbox.take(1) is None
    for batch in batches[2:]:
        inbox.put(batch)

    first, second = inbox.take(32), inbox.take(32)
    assert first is not None
    assert second is None
    np.testing.assert_array_equal(first.features, world.new.features[:32])


def test_draws_follow_the_probabilities() -> None:
    probabilities = np.tile(np.array([[0.7, 0.0, 0.3]], np.float32), (20_000, 1))

    drawn = np.bincount(draw(probabilities, np.random.default_rng(0)), minlength=3) / 20_000

    np.testing.assert_allclose(drawn, [0.7, 0, 0.3], atol=0.01)


class Knowing(Frozen):
    """Answers each prompt rightly and explores in its own way: not at all."""

    def __init__(self) -> None:
        self.learnt: list[Batch] = []

    def greedy(self, features: Floats) -> Actions:
        """The one after that of the prompt's side, which is right for old prompts and for new ones."""
        return np.asarray((features.argmax(axis=1) + 2) % 3)

    def probabilities(self, features: Floats) -> Floats:
        """Certain."""
        return np.asarray(np.eye(3, dtype=np.float32)[self.greedy(features)])

    def learn(self, batch: Batch) -> None:
        """Keeps it."""
        self.learnt.append(batch)


def test_who_knows_the_best_expert_and_does_not_explore_has_no_regret(world: World) -> None:
    player = Knowing()

    outcome = play(world, lambda _world, _seed: player, USUAL, 0)

    assert outcome.regret == pytest.approx(0, abs=1e-4)
    assert [outcome.new, outcome.old, outcome.online] == pytest.approx([80, 80, 80], abs=1e-3)
    assert {len(batch) for batch in player.learnt} == {32}
    assert all((batch.propensities == 1).all() for batch in player.learnt)
    assert 32 * len(player.learnt) == pytest.approx(0.8 * 19_700, abs=300)


def test_who_leaves_exploration_to_the_traffic_explores_in_one_of_ten(world: World) -> None:
    outcome = play(world, Frozen, replace(USUAL, new_share=0.0), 0)

    # A third of one tenth goes to the wrong expert, at 60 points.
    assert outcome.regret == pytest.approx(80 - outcome.old + 2, abs=0.6)


def test_linucb_estimates_by_ridge_regression_and_tries_what_it_has_not_tried(world: World) -> None:
    player = LinUCB(world, alpha=10.0)
    batches = [world.anchors, *(batch_of(world.new.take(np.arange(at, at + 40)), at) for at in range(0, 160, 40))]
    for batch in batches[1:]:
        player.learn(batch)

    expected = []
    for expert in range(3):
        rows = [batch.take(np.flatnonzero(batch.actions[:, 0] == expert)) for batch in batches]
        x = with_bias(np.concatenate([row.features for row in rows])).astype(np.float64)
        votes = np.concatenate([row.rewards for row in rows])
        expected.append(np.linalg.solve(x.T @ x + np.eye(4), x.T @ votes))
    estimates = with_bias(world.new_test.features) @ np.stack(expected, axis=1)
    np.testing.assert_array_equal(player.greedy(world.new_test.features), estimates.argmax(axis=1))
    counts = np.bincount(np.concatenate([batch.actions[:, 0] for batch in batches]), minlength=3)
    tried = player.probabilities(world.new_test.features).argmax(axis=1)
    assert (tried == counts.argmin()).mean() > 0.5


def test_logistic_weights_are_where_the_penalised_loss_is_flat(world: World) -> None:
    x = with_bias(world.old.features).astype(np.float64)
    weights = np.zeros((4, 3))
    for _ in range(10):
        weights = logistic(x, world.old.success, 1.0, weights)

    slope = x.T @ (1 / (1 + np.exp(-x @ weights)) - world.old.success)
    slope[:-1] += weights[:-1]
    np.testing.assert_allclose(slope, 0, atol=1e-2)


@pytest.mark.parametrize("name", ["LinUCB", "logistic bandit"])
def test_a_peer_that_learns_comes_to_answer_new_prompts_better_than_the_base(world: World, name: str) -> None:
    make = PLAYERS[name]

    outcome = play(world, make, replace(USUAL, decisions=4_000), 0)

    assert outcome.new > points(Frozen(world, 0), world.new_test) + 5


def test_the_logistic_bandit_fits_anew_when_it_has_a_fifth_more(world: World) -> None:
    player = LogisticBandit(world, 1.0)
    before = player.greedy(world.new_test.features)
    more = batch_of(world.new)

    player.learn(more.take(np.arange(30)))
    player.settle()
    np.testing.assert_array_equal(player.greedy(world.new_test.features), before)
    player.learn(more.take(np.arange(30, 400)))
    player.settle()
    assert (player.greedy(world.new_test.features) != before).any()


def test_the_single_expert_is_the_best_of_what_the_base_knows(world: World) -> None:
    rigged = replace(world, old=replace(world.old, success=world.old.success + np.array([0, 0.1, 0], np.float32)))

    assert set(SingleExpert(rigged, 0).greedy(world.new_test.features)) == {1}


def test_all_labels_reach_what_the_best_expert_reaches_where_the_features_tell_it(world: World) -> None:
    found = ceilings(world, 0)

    assert found[ORACLE].new == pytest.approx(80, abs=1e-3)
    assert found[ALL_LABELS].new == pytest.approx(80, abs=1)
    assert found[ALL_LABELS].old == points(Frozen(world, 0), world.old_test)


def test_matrices_come_through_a_pipe_as_they_are() -> None:
    pipe, matrix = io.BytesIO(), np.arange(6, dtype=np.float32).reshape(2, 3) / np.float32(7)
    put(pipe, "learn", 0.1, matrix)
    pipe.seek(0)

    word, number, got = get(pipe)

    assert (word, number) == ("learn", 0.1)
    np.testing.assert_array_equal(got, matrix)
    with pytest.raises(EOFError):
        get(pipe)


class Listener:
    """In the place of VowpalWabbit's Workspace."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def learn(self, text: str) -> None:
        """Keeps it."""
        self.told.append(text)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    library = ModuleType("vowpalwabbit")
    library.Workspace = Listener  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vowpalwabbit", library)
    yield
    sys.modules.pop("benchmarks.evaluation.vowpal_peer", None)


@pytest.mark.usefixtures("stand_in")
def test_vowpal_wabbit_hears_of_the_action_that_was_taken_its_cost_and_its_probability() -> None:
    from benchmarks.evaluation.vowpal_peer import learn  # noqa: PLC0415 - after the stand-in for its library

    model = Listener()
    learn(model, ["|a e0", "|a e1"], np.array([[0.5, 0.0, -0.25, 1, 0, 0.95]], np.float32))

    assert model.told == ["shared |s 0:0.5 2:-0.25\n|a e0\n0:0:0.95 |a e1"]


def summaries() -> dict[Key, StreamSummary]:
    usual = {FROZEN: BASE, "OL0": RUN, "LinUCB": replace(RUN, old=60.0), ALL_LABELS: MOST}
    found = {("debian", name, USUAL.name): StreamSummary.of([run], [BASE]) for name, run in usual.items()}
    return found | {("debian", "OL0", NULLS[0].name): StreamSummary.of([BASE], [BASE])}


def test_a_summary_is_of_changes_against_the_base_on_the_same_splits() -> None:
    better = replace(RUN, new=54.0, old=71.0, curve=(41.0, 45.0, 54.0))

    summary = StreamSummary.of([RUN, better], [BASE, replace(BASE, new=42.0)])

    assert (summary.new, summary.new_spread) == (52.0, 2.0)
    assert (summary.gain, summary.gain_spread) == (11.0, 1.0)
    assert (summary.old, summary.old_spread, summary.worst_old) == (0.0, 1.0, -1.0)
    assert summary.curve == (0.0, 4.0, 11.0)


def test_the_table_says_what_share_of_the_gain_that_all_labels_allow_was_reached() -> None:
    page = tables(summaries())

    line = "| OL0 | 50.00 ± 0.00 | +10.00 ± 0.00 | 50% | -1.00 ± 0.00 | -1.00 | 47.00 | 30.00 | +1.00 | +5.00 | 0.25 |"
    assert line in page
    assert f"| {ALL_LABELS} | 60.00 ± 0.00 | +20.00 ± 0.00 | 100% | +0.00 ± 0.00 | +0.00 | - | - | - | - | - |" in page
    assert "No line of VowpalWabbit" in page
    assert "| debian | OL0 | +0.00 ± 0.00 | +0.00 ± 0.00 | - | - |" in page


def test_the_plot_names_every_contender_once(tmp_path: Path) -> None:
    usual = {name: it for (_, name, traffic), it in summaries().items() if traffic == USUAL.name}

    draw_plot({"debian": usual, "other": usual}, tmp_path / "plot.svg")

    text = (tmp_path / "plot.svg").read_text()
    assert all(text.count(f"<!-- {name} -->") == 1 for name in usual)


def test_a_pattern_chooses_runs_and_what_they_are_measured_by_comes_with_them() -> None:
    todo = streams.tasks(["debian", "/data/some.npz"], (0, 1), r"^some / OL0 / as in")

    assert {(stream, name) for stream, name, _, _ in todo} == {
        ("/data/some.npz", name) for name in (FROZEN, streams.CEILINGS, "OL0")
    }
    assert {seed for *_, seed in todo} == {0, 1}


def test_what_earlier_calls_found_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "results.md"
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    for name, place in {"JSON": "streams.json", "PAGE": "results.md", "PLOT": "plot.svg", "ROOT": "."}.items():
        monkeypatch.setattr(streams, name, tmp_path / place)
    found = summaries()
    streams.report(found)
    newer = {("debian", "OL0", USUAL.name): StreamSummary.of([replace(RUN, new=51.0)], [BASE])}

    streams.report(streams.merged(newer))

    assert streams.merged({}) == found | newer
    assert len(json.loads((tmp_path / "streams.json").read_text())) == len(found)
    assert "| OL0 | 51.00 ± 0.00 | +11.00" in page.read_text()
    assert page.read_text().endswith("after\n")


def test_votes_are_of_the_expert_that_was_taken(world: World) -> None:
    certain = replace(world.new, success=np.eye(3, dtype=np.float32)[np.zeros(400, np.intp)])
    taken = np.arange(400) % 3

    batch = votes_on(certain, taken, np.full(400, 0.5), np.random.default_rng(0))

    np.testing.assert_array_equal(batch.rewards, taken == 0)
    np.testing.assert_array_equal(batch.actions[:, 0], taken)


def test_the_traffic_is_that_of_the_demos_users() -> None:
    from ol0.simulation.users import UserHabits  # noqa: PLC0415

    habits = UserHabits()

    assert Traffic("") == Traffic(
        "", new_share=habits.new_share, silent_share=habits.silent_share, wrong_share=habits.wrong_share
    )
