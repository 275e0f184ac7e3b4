from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from structlog.testing import capture_logs

from ol0.config import OnlineLearningConfig
from ol0.controller.heads import Floats
from ol0.errors import NothingToDraw
from ol0.learning.anchors import AnchorSet
from ol0.learning.batch import Batch
from ol0.learning.gradient.trainer import HeadTrainer
from ol0.learning.replay import LocalReplay
from ol0.learning.training import Training
from unit.learning.learner_world import SMALL, logged, make_base, make_learner, make_replay

BASE = make_base()


def training_of(replay: LocalReplay, config: OnlineLearningConfig = SMALL, anchors: Batch | None = None) -> Training:
    known = AnchorSet.split(logged(BASE, 200) if anchors is None else anchors, config.calibration_share, 3)
    return Training(HeadTrainer(BASE, known, config, 3), replay, config, lambda: 0.0)


def test_when_all_is_too_old_it_waits_says_so_once_and_goes_on_with_what_is_new() -> None:
    # Given 200 examples that nobody paid for, and a night in which none came
    replay = LocalReplay(1_000, logged(BASE, 50), 0.001, max_age_s=1.0)
    replay.add(logged(BASE, 200, new=True), watermark_ms=1_000)
    replay.add(logged(BASE, 0), watermark_ms=9_000)
    training = training_of(replay)
    # When the learner goes round
    with capture_logs() as logs:
        assert [training.update_due() for _ in range(3)] == [0, 0, 0]
    # Then it says what it waits for, and owes nothing for what it never saw
    assert [(entry["log_level"], entry["examples"]) for entry in logs] == [("warning", 200)]
    assert "max_age_s" in logs[0]["event"]
    replay.add(logged(BASE, 16, seed=5, new=True), watermark_ms=9_500)
    with capture_logs() as logs:
        assert training.update_due() == 2
    assert (logs, training.trained, training.steps) == ([], 216, 2 * SMALL.steps_per_update)
    # And once more when that has become too old
    replay.add(logged(BASE, 0), watermark_ms=19_000)
    with capture_logs() as logs:
        assert (training.update_due(), training.update_due()) == (0, 0)
    assert len(logs) == 1


class Vanishing(LocalReplay):
    """Its examples are taken out by somebody else while they are drawn from."""

    def sample(self, *_: object) -> None:  # type: ignore[override]
        raise NothingToDraw("refresh() before the next sample")


def test_examples_that_vanish_while_they_are_drawn_end_the_round_and_not_the_learner() -> None:
    replay = Vanishing(1_000, logged(BASE, 50), 0.001)
    replay.add(logged(BASE, 64, new=True), watermark_ms=1_000)
    training = training_of(replay)
    training.update_due()
    assert (training.steps, training.trained) == (0, 64)
    assert training.update_due() == 0


def odd_replays() -> Iterator[tuple[str, Batch, Batch]]:
    live, anchors = logged(BASE, 64, seed=2, new=True), logged(BASE, 200)
    none = logged(BASE, 0)
    yield "no anchors", live, none
    yield "one anchor", live, anchors.take(np.array([0]))
    yield "one user", replace(live, users=np.ones(64, np.uint64)), anchors
    yield "all rewarded", replace(live, rewards=np.ones(64, np.float32)), anchors
    yield "nothing rewarded", replace(live, rewards=np.zeros(64, np.float32)), anchors
    yield "the same prompt again and again", replace(live, features=np.ones_like(live.features)), anchors
    yield "prompts of zeros", replace(live, features=np.zeros_like(live.features)), anchors
    yield "anchors of zeros", live, replace(anchors, features=np.zeros_like(anchors.features))
    yield "rewards of anchors all equal", live, replace(anchors, rewards=np.ones(200, np.float32))


@pytest.mark.parametrize(("live", "anchors"), [pytest.param(*rest, id=name) for name, *rest in odd_replays()])
def test_odd_examples_and_anchors_train_finite_heads(live: Batch, anchors: Batch) -> None:
    replay = LocalReplay(1_000, anchors, 0.001)
    replay.add(live, watermark_ms=1_000)
    training = training_of(replay, anchors=anchors)
    assert training.update_due() == 8
    assert isinstance(training._trainer, HeadTrainer)
    heads: Floats = training._trainer._state.average
    assert np.isfinite(heads).all()
    assert all(np.isfinite(value) for value in training.figures().values())
    proposal = training._trainer.candidate(BASE.digest, 1)
    assert all(np.isfinite(value) for value in proposal.summary.values())


def test_only_anchors_and_nothing_live_is_nothing_to_do() -> None:
    training = training_of(make_replay(BASE, examples=0))
    with capture_logs() as logs:
        assert (training.update_due(), logs) == (0, [])


def test_a_store_that_was_rebuilt_with_less_is_observed_again_as_soon_as_it_grows() -> None:
    # Given a learner that saw 500 examples, and a store that the logs could give back only 60 of
    trainer = make_learner(BASE)
    trainer.observe(logged(BASE, 500, seed=2, new=True), seen=500)
    before = trainer._state.evidence
    replay = make_replay(BASE, examples=60)
    # When nothing new is in it, then nothing is looked at twice
    trainer.update(replay)
    assert (trainer.seen, trainer._state.evidence) == (60, before)
    # And what comes now is looked at
    replay.add(logged(BASE, 5, seed=9, new=True), watermark_ms=2_000)
    trainer.update(replay)
    assert (trainer.seen, trainer._state.evidence.count) == (65, before.count + 5)
