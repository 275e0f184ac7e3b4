from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest
import structlog

from ol0.config import OnlineLearningConfig
from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.controller import Controller
from ol0.controller.exploration import Draw
from ol0.controller.warmup import Anchor, log_anchor
from ol0.errors import CheckpointError, ConfigError, RangeError
from ol0.learner.handler import LearnerHandler
from ol0.learning.batch import Batch
from ol0.learning.examples import Example, batch_of
from ol0.learning.replay import LocalReplay
from ol0.learning.trainer import Proposal
from ol0.records import Candidate
from ol0.sdk.online_learner import OnlineLearner
from unit.learning.learner_world import SMALL, logged, make_base, release_of, serving

BASE = make_base((2, 3))
VALUES = SMALL.model_copy(update={"learner": "values"})
both = pytest.mark.parametrize("config", [SMALL, VALUES], ids=["gradient", "values"])


def anchors_of(batch: Batch) -> list[Anchor]:
    rng = Random(0)
    return [
        log_anchor(
            BASE,
            row,
            batch.features[row],
            Draw(tuple(batch.actions[row].tolist()), tuple(batch.propensities[row].tolist())),
            reward=float(batch.rewards[row]),
            group=None,
            rng=rng,
        )
        for row in range(len(batch))
    ]


ANCHORS = anchors_of(logged(BASE, 100))


def examples(count: int, seed: int = 2) -> list[Example]:
    batch = logged(BASE, count, seed=seed, new=True)
    return [
        Example(
            batch.features[row],
            tuple(batch.actions[row].tolist()),
            tuple(batch.propensities[row].tolist()),
            float(batch.rewards[row]),
            f"session-{row}",
            f"user-{row % 40}",
        )
        for row in range(count)
    ]


def warm(config: OnlineLearningConfig = SMALL, *, base: Controller = BASE, seed: int = 3) -> OnlineLearner:
    learner = OnlineLearner(config, seed=seed)
    learner.model.adopt(base, ANCHORS if base is BASE else [])
    return learner


def offered(learner: OnlineLearner, more: Sequence[Example] = ()) -> Proposal:
    learner.add(more)
    learner.train()
    proposal = learner.candidate()
    assert proposal is not None
    return proposal


# -- it is the service's learner ----------------------------------------------------------------------------------


def test_its_candidates_are_the_services_bit_for_bit() -> None:
    # Given the service's handler and a learner in process, with the same base, anchors, seed and examples
    config = SMALL.model_copy(update={"trust_region": 1e-3})  # so narrow that it shows around what it lies
    anchors = batch_of([Example.of(anchor.decision, anchor.reward) for anchor in ANCHORS], BASE)
    replay = LocalReplay(config.replay_size, anchors, config.priority_epsilon)
    state = serving(BASE)
    handler = LearnerHandler(state, {}, replay, config, seed=3, clock=lambda: 0.0)
    learner = warm(config)
    for step in (1, 2):
        # When both are given examples in three rounds, and train
        for seed in (step, 10 * step, 100 * step):
            more = examples(100, seed)
            replay.add(batch_of(more, BASE), 0)
            learner.add(more)
            while handler.train():
                pass
            assert learner.train() > 0
        # Then they offer the same bytes, also after the first candidate went live
        service, mine = handler.offer()[0], offered(learner)
        assert isinstance(service, Candidate)
        assert mine.data == service.heads
        assert mine.summary["gain"] == service.summary["gain"]
        state = replace(state, sequence=1 + step, live=release_of(mine.controller, mine.data), decided_step=step)
        handler.handle(state)
        learner.follow(mine.controller)


@both
def test_what_is_due_is_trained_once(config: OnlineLearningConfig) -> None:
    learner = warm(config)
    learner.add(examples(200))
    assert learner.train() == 200 // SMALL.examples_per_update
    assert learner.train() == 0


@pytest.mark.parametrize("calls", [[200], [50, 50, 28, 72], [3, 197]], ids=str)
def test_a_log_is_learnt_as_if_its_examples_had_come_one_by_one(calls: list[int]) -> None:
    config = SMALL.model_copy(update={"examples_per_update": 32})
    single, several, log = warm(config), warm(config), examples(200)
    updates = sum(single.learn([one]) for one in log)
    ends = np.cumsum(calls)
    assert sum(several.learn(log[end - count : end]) for count, end in zip(calls, ends, strict=True)) == updates == 6
    assert several.snapshot() == single.snapshot()
    assert several.replay.snapshot() == single.replay.snapshot()


@both
def test_learning_first_pays_for_what_was_only_added(config: OnlineLearningConfig) -> None:
    learner = warm(config)
    learner.add(examples(36))
    assert learner.learn(examples(4, seed=9)) == 5
    assert learner.learn([]) == 0


@both
def test_the_next_candidate_names_what_serves_as_its_parent(config: OnlineLearningConfig) -> None:
    learner = warm(config)
    first = offered(learner, examples(64))
    assert (first.controller.manifest.parent, first.controller.manifest.step) == (BASE.digest, 1)
    learner.follow(first.controller)
    second = offered(learner, examples(64, seed=9))
    assert (second.controller.manifest.parent, second.controller.manifest.step) == (first.controller.digest, 2)
    assert second.controller.manifest.base == BASE.digest


def test_a_careful_candidate_keeps_to_its_share_of_the_budget() -> None:
    reckless = {"learning_rate": 0.1, "kl_weight": 0.0, "anchor_weight": 0.0, "mixer_learning_rate": 1e-6}
    config = SMALL.model_copy(update={**reckless, "ema_decay": 0.5, "regret_budget": 100.0})
    regrets = []
    for budget_share in (1.0, 0.0):
        learner = warm(config)
        learner.add(examples(640))
        learner.train()
        proposal = learner.candidate(budget_share)
        assert proposal is not None
        regrets.append(proposal.summary["regret"])
    bold, careful = regrets
    assert careful <= 0 < bold


# -- what stands in the way ---------------------------------------------------------------------------------------


def test_before_a_warm_up_it_says_what_to_do() -> None:
    learner = OnlineLearner()
    for call in (
        learner.train,
        learner.candidate,
        learner.snapshot,
        learner.obstacle,
        lambda: learner.add([]),
        lambda: learner.restore(b""),
        lambda: learner.replay,
    ):
        with pytest.raises(ConfigError, match=r"no base to learn from yet: await WarmupManager\(\)\.warmup_from_ar1"):
            call()


@both
def test_too_few_examples_make_no_candidate(config: OnlineLearningConfig) -> None:
    learner = warm(config)
    learner.add(examples(8))
    learner.train()
    assert learner.candidate() is None
    assert learner.obstacle() == "8 examples so far; the first candidate needs min_replay = 16"


@both
def test_nothing_new_makes_no_candidate(config: OnlineLearningConfig) -> None:
    learner = warm(config)
    learner.add(examples(64))
    assert "nothing was trained since the last candidate" in (learner.obstacle() or "")
    offered(learner)
    assert learner.candidate() is None
    assert "add 8 examples and train()" in (learner.obstacle() or "")


def test_where_nothing_is_new_there_is_no_candidate() -> None:
    learner = warm(SMALL.model_copy(update={"evidence_errors": 1e6}))
    learner.add(examples(64))
    learner.train()
    assert learner.candidate() is None
    assert "evidence_errors = 1e+06" in (learner.obstacle() or "")


def test_where_all_prompts_are_one_there_is_no_candidate_until_they_differ() -> None:
    # Given a learner that is convinced, and an embedder that stands still
    learner = warm(SMALL.model_copy(update={"evidence_errors": 1e-9}))
    learner.learn(examples(400))
    assert learner.obstacle() is None
    (one,) = examples(1)
    learner.learn(replace(example, features=one.features) for example in examples(400, seed=3))
    assert learner.candidate() is None
    assert "is the embedder stuck?" in (learner.obstacle() or "")
    # When it is mended
    learner.learn(examples(100, seed=4))
    assert learner.candidate() is not None


def test_an_example_that_does_not_fit_is_named_and_none_is_taken() -> None:
    learner = warm()
    wrong = Example([0.0] * 5, (0, 0), (1.0, 1.0), 1.0, "s-9")
    for take in (learner.add, learner.learn):
        with pytest.raises(RangeError, match=r"example 40 \(session s-9\): features of shape \(5,\)"):
            take([*examples(40), wrong])
    assert learner.replay.examples == 0


def test_anchors_of_another_base_leave_the_learner_as_it_was() -> None:
    learner = warm()
    learner.add(examples(10))
    with pytest.raises(RangeError, match=r"example 0 \(session anchor-0\)"):
        learner.model.adopt(make_base((4,)), ANCHORS)
    assert (learner.base.digest, learner.replay.examples) == (BASE.digest, 10)


@both
def test_another_base_begins_anew(config: OnlineLearningConfig) -> None:
    learner = warm(config)
    offered(learner, examples(64))
    other = make_base((2, 3), seed=9)
    learner.model.adopt(other, ANCHORS)
    assert (learner.base.digest, learner.replay.examples) == (other.digest, 0)


def test_it_warns_that_nothing_holds_it_without_anchors() -> None:
    with structlog.testing.capture_logs() as logs:
        warm(base=make_base((4,)))
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert "calibration file" in logs[0]["event"]


def test_a_controller_of_another_base_is_not_followed() -> None:
    with pytest.raises(CheckpointError, match=f"the learner {BASE.digest}"):
        warm().follow(make_base((2, 3), seed=9))


# -- going back ---------------------------------------------------------------------------------------------------


@both
def test_in_a_new_process_it_goes_on_bit_for_bit(config: OnlineLearningConfig) -> None:
    # Given a learner that has served a candidate and goes on
    steady = warm(config)
    first = offered(steady, examples(200))
    steady.follow(first.controller)
    learner, replay = steady.snapshot(), steady.replay.snapshot()
    # When another process takes its place
    again = warm(config)
    again.replay.restore(replay)
    again.restore(learner)
    again.follow(read_checkpoint(first.data))
    # Then both offer the same next candidate, and nothing is paid for twice
    assert again.train() == 0
    assert offered(again, examples(100, seed=8)).data == offered(steady, examples(100, seed=8)).data


def test_going_back_takes_the_weights_back_and_pays_for_nothing_twice() -> None:
    learner = warm()
    learner.add(examples(64))
    learner.train()
    good = learner.snapshot()
    offered(learner, examples(64, seed=9))
    learner.restore(good)
    assert learner._warmed().trainer.snapshot() == warm_trained(64)
    assert learner.train() == 0
    assert offered(learner, examples(64, seed=10)).controller.manifest.step == 2


def warm_trained(count: int) -> bytes:
    learner = warm()
    learner.add(examples(count))
    learner.train()
    return learner._warmed().trainer.snapshot()


@both
def test_a_snapshot_without_its_examples_is_refused(config: OnlineLearningConfig) -> None:
    steady = warm(config)
    offered(steady, examples(200))
    with pytest.raises(CheckpointError, match=r"trained on 200 examples, and the replay buffer had 0: replay\.restore"):
        warm(config).restore(steady.snapshot())


def test_a_snapshot_of_another_base_is_refused() -> None:
    other = warm(base=make_base((2, 3), seed=9))
    with pytest.raises(CheckpointError, match="adopt that base"):
        warm().restore(other.snapshot())


@both
def test_garbage_is_no_snapshot_and_changes_nothing(config: OnlineLearningConfig) -> None:
    learner = warm(config)
    learner.add(examples(64))
    learner.train()
    before = learner.snapshot()
    for body in (b"", before[:-1], learner.replay.snapshot()):
        with pytest.raises(CheckpointError, match="no snapshot of an OnlineLearner"):
            learner.restore(body)
    assert learner.snapshot() == before


def test_the_seeds_numbers_hardly_move_the_heads() -> None:
    shift = []
    for numbers in ({}, {"profile": "legacy", "min_replay": 16, "evidence_errors": 0}):
        learner = warm(SMALL if not numbers else OnlineLearningConfig.model_validate(numbers))
        heads = offered(learner, examples(640)).controller.learnt
        shift.append(
            max(float(np.abs(mine.weight - given.weight).max()) for mine, given in zip(heads, BASE.base, strict=True))
        )
    ours, seeds = shift
    assert 0 < seeds < ours / 100
