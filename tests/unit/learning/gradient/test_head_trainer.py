from collections.abc import Callable

import numpy as np
import pytest

from ol0.config import OnlineLearningConfig
from ol0.controller.checkpoint import digest_of, read_checkpoint
from ol0.errors import CheckpointError
from ol0.learning.anchors import AnchorSet
from ol0.learning.gradient.trainer import HeadTrainer
from unit.learning.learner_world import (
    DIMENSION,
    SHAPES,
    SMALL,
    logged,
    make_base,
    make_learner,
    make_replay,
    trained,
)

# Every number of the config that shapes what is learnt, and another value for it.
SWITCHES: dict[str, float] = {
    "learning_rate": 0.02,
    "gain_weight": 0.3,
    "importance_clip": 1.5,
    "reward_learning_rate": 0.1,
    "kl_weight": 0.0,
    "ewc_lambda": 0.0,
    "proximal_mu": 0.0,
    "anchor_weight": 0.0,
    "batch_size": 16,
    "anchor_share": 0.0,
    "steps_per_update": 3,
    "gradient_clip": 0.01,
    "ema_decay": 0.5,
    "trust_region": 1e-5,
    "mixer_learning_rate": 0.2,
    "mixer_l2": 1.0,
    "calibration_share": 0.5,
    "priority_alpha": 0.0,
    "priority_beta": 1.0,
    "priority_beta_examples": 201,
    "priority_epsilon": 1.0,
    "user_cap": 0.2,
    "trust_floor": 1.0,
    "evidence_errors": 1e6,
    "replay_size": 100,
}
# What decides when something happens and not what: see test_cadence.py, test_learner_handler.py and warm-up; and which
# learner it is: test_engines.py. The budget needs heads that go wrong: see below.
ELSEWHERE = {
    "profile",
    "learner",
    "examples_per_update",
    "min_replay",
    "lead_errors",
    "engine",
    "device",
    "tuning_rate",
    "tuning_steps",
    "max_checkpoints",
    "anchors",
    "regret_budget",
    "max_age_s",
}


def test_every_number_of_the_config_is_looked_at() -> None:
    assert set(SWITCHES) | ELSEWHERE == set(OnlineLearningConfig.model_fields)


@pytest.mark.parametrize("name", SWITCHES)
def test_every_number_of_the_config_changes_what_ships(name: str) -> None:
    base = make_base()
    other = SMALL.model_copy(update={name: SWITCHES[name]})
    usual, changed = trained(base).candidate(base.digest, 1), trained(base, other).candidate(base.digest, 1)
    assert usual.data != changed.data


@pytest.mark.parametrize("choices", SHAPES, ids=str)
def test_it_learns_new_prompts_and_keeps_the_old_ones(choices: tuple[int, ...]) -> None:
    # Given a base that is always wrong on new prompts
    base = make_base(choices)
    new, old = logged(base, 500, seed=11, new=True).features, logged(base, 500, seed=12).features
    right = (base.greedy(new) + 1) % choices
    faster = {
        "batch_size": 128,
        "trust_region": 10.0,
        "learning_rate": 0.0125,
        "ema_decay": 0.9,
    }
    config = SMALL.model_copy(update=faster)
    # When it learns from the feedback on one choice at a time
    learner, replay = make_learner(base, config), make_replay(base, config, examples=3_000)
    for _ in range(70):
        learner.update(replay)
    shipped = learner.candidate(base.digest, 1).controller
    # Then it is often right in every part, and old answers are what they were
    assert ((shipped.greedy(new) == right).mean(axis=0) > 0.2).all()
    assert (shipped.greedy(old) == base.greedy(old)).mean() > 0.9


def test_a_prompt_that_comes_again_is_no_evidence_of_novelty() -> None:
    base = make_base()
    learner, fresh = make_learner(base), logged(base, 40)
    learner.observe(fresh, 40)
    learner.observe(fresh, 80)

    evidence = learner._state.evidence
    assert (evidence.count, evidence.ranked) == (80, 40)


def test_at_the_base_nothing_pulls_but_the_gain() -> None:
    base = make_base()
    learner, live = make_learner(base), logged(base, 16)
    terms = learner.step(live, live.features).terms
    assert terms["anchor_kl"] == terms["ewc"] == terms["proximal"] == 0
    assert terms["gain"] < 0
    assert terms["mixer"] == pytest.approx(np.log(2))


def test_an_untrained_candidate_is_the_base() -> None:
    base = make_base((2, 3))
    proposal = make_learner(base).candidate(base.digest, 1)
    features = logged(base, 300, new=True).features
    np.testing.assert_array_equal(proposal.controller.greedy(features), base.greedy(features))
    assert proposal.summary["kl_to_base"] == pytest.approx(0, abs=1e-6)
    assert proposal.summary["regret"] == 0


def test_what_ships_is_the_moving_average() -> None:
    base = make_base((2, 3))
    learner = trained(base)
    shipped = learner._parts.stack(learner.candidate(base.digest, 1).controller.learnt)
    np.testing.assert_array_equal(learner._scaling.inside(shipped), learner._state.average)
    assert (learner._state.average != learner._state.heads).any()


def test_a_candidate_says_where_it_comes_from_and_keeps_the_base_heads() -> None:
    base = make_base((2, 3))
    parent = trained(base, updates=2).candidate(base.digest, 1).controller
    proposal = trained(base).candidate(parent.digest, 2)
    controller = read_checkpoint(proposal.data, digest_of(proposal.data))
    manifest = controller.manifest
    assert (manifest.base, manifest.parent, manifest.step) == (base.digest, parent.digest, 2)
    assert (manifest.parts, manifest.epsilon) == (base.manifest.parts, base.manifest.epsilon)
    for mine, given in zip(controller.base, base.base, strict=True):
        np.testing.assert_array_equal(mine.weight, given.weight)


@pytest.mark.parametrize("budget", [0.0, 0.005, 0.01])
def test_what_ships_stays_within_the_regret_budget(budget: float) -> None:
    base = make_base()
    reckless = SMALL.model_copy(
        update={
            "learning_rate": 0.1,
            "kl_weight": 0.0,
            "ewc_lambda": 0.0,
            "anchor_weight": 0.0,
            "mixer_learning_rate": 1e-6,  # it opens to everybody alike
            "ema_decay": 0.5,
        }
    )
    thrifty, lavish = (
        trained(base, reckless.model_copy(update={"regret_budget": points}), 30).candidate(base.digest, 1).summary
        for points in (budget, 100.0)
    )
    assert thrifty["regret"] <= budget < lavish["regret"]
    assert thrifty["mixer_threshold"] > lavish["mixer_threshold"]


def test_a_careful_candidate_uses_its_share_of_the_budget() -> None:
    base = make_base()
    learner = trained(
        base, SMALL.model_copy(update={"kl_weight": 0.0, "anchor_weight": 0.0, "mixer_learning_rate": 1e-6})
    )
    bold, careful = (learner.candidate(base.digest, 1, budget_share).summary for budget_share in (1.0, 0.0))
    assert careful["regret"] <= 0
    assert careful["mixer_threshold"] >= bold["mixer_threshold"]


@pytest.mark.parametrize("choices", SHAPES, ids=str)
def test_after_a_restore_training_goes_on_bit_for_bit(choices: tuple[int, ...]) -> None:
    # Given a learner that was stopped and one that was not
    base = make_base(choices)
    steady, replay = make_learner(base), make_replay(base)
    for _ in range(5):
        steady.update(replay)
    snapshot = steady.snapshot()
    again, copy = make_learner(base), make_replay(base)
    copy._priorities[:] = replay._priorities
    # When both go on
    again.restore(snapshot)
    assert again.snapshot() == snapshot
    for _ in range(5):
        steady.update(replay)
        again.update(copy)
    # Then nothing tells them apart: weights, averages, optimisers, generator, what ships
    assert again.snapshot() == steady.snapshot() != snapshot
    assert again.candidate(base.digest, 1).data == steady.candidate(base.digest, 1).data


def test_a_restore_takes_back_everything() -> None:
    base = make_base()
    learner, replay = trained(base), make_replay(base)
    before = learner.snapshot()
    learner.update(replay)
    learner.restore(before)
    assert learner.snapshot() == before
    learner.start_from(base)
    assert learner.snapshot() == make_learner(base).snapshot()


def truncated(data: bytes) -> bytes:
    return data[:-1]


def of_another_shape(_: bytes) -> bytes:
    return make_learner(make_base((4,))).snapshot()


@pytest.mark.parametrize("spoil", [truncated, of_another_shape, lambda _: b""])
def test_a_snapshot_that_does_not_fit_is_refused_and_changes_nothing(spoil: Callable[[bytes], bytes]) -> None:
    learner = trained(make_base())
    before = learner.snapshot()
    with pytest.raises(CheckpointError, match="learner snapshot"):
        learner.restore(spoil(before))
    assert learner.snapshot() == before


def test_errors_are_those_of_the_live_examples_in_their_order() -> None:
    base = make_base()
    live = logged(base, 16)
    errors = make_learner(base).step(live, live.features).errors
    assert errors.shape == (16,)
    turned = make_learner(base).step(live.take(np.arange(16)[::-1]), live.features).errors
    np.testing.assert_allclose(turned[::-1], errors, rtol=1e-5)


def test_it_learns_without_any_anchor_too() -> None:
    base = make_base()
    nobody = AnchorSet.split(logged(base, 0), 0.2, 0)
    learner = HeadTrainer(base, nobody, SMALL, 0)
    learner.update(make_replay(base))
    assert learner.live_rows == SMALL.batch_size
    assert np.isfinite(learner.candidate(base.digest, 1).controller.learnt[0].weight).all()
    assert learner.steps == SMALL.steps_per_update


def test_starting_from_a_release_begins_with_its_heads() -> None:
    base = make_base()
    release = trained(base).candidate(base.digest, 1).controller
    learner = make_learner(base)
    learner.start_from(release)
    shipped = learner.candidate(release.digest, 2).controller
    np.testing.assert_array_equal(shipped.learnt[0].weight, release.learnt[0].weight)
    np.testing.assert_array_equal(shipped.mixer.weight, release.mixer.weight)
    assert shipped.dimension == DIMENSION
