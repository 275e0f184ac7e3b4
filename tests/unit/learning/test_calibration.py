from dataclasses import replace

import numpy as np
import pytest

from ol0.controller.controller import Controller
from ol0.controller.heads import Head, Mixer
from ol0.learning.anchors import AnchorSet
from ol0.learning.calibration import THRESHOLDS, Platt, RegretGauge, calibrate
from ol0.learning.gradient.mixer import shipped_mixer
from unit.learning.learner_world import SHAPES, logged, make_base


def gauge_of(base: Controller) -> RegretGauge:
    anchors = AnchorSet.split(logged(base, 400), 0.5, 0)
    return RegretGauge.of(base, anchors.logged, anchors.held_out)


def disturbed(base: Controller, seed: int) -> Controller:
    """Learnt heads and a mixer that know nothing."""
    rng = np.random.default_rng(seed)
    heads = tuple(Head(rng.normal(size=head.weight.shape).astype(np.float32), head.bias) for head in base.base)
    return replace(base, learnt=heads, mixer=Mixer(rng.normal(size=base.dimension).astype(np.float32), 0.0))


@pytest.mark.parametrize("choices", SHAPES, ids=str)
@pytest.mark.parametrize("budget", [0.0, 0.5, 5.0])
def test_what_ships_keeps_the_budget_and_no_smaller_threshold_would(choices: tuple[int, ...], budget: float) -> None:
    base = make_base(choices)
    gauge, heads = gauge_of(base), disturbed(base, 4)

    def at(threshold: float) -> Controller:
        return replace(heads, mixer=replace(heads.mixer, threshold=threshold))

    chosen = calibrate(gauge, at, budget)
    assert gauge.regret(at(chosen)) <= budget
    assert all(gauge.regret(at(t)) > budget for t in THRESHOLDS if t < chosen)


def test_the_last_threshold_answers_as_the_base_does() -> None:
    base = make_base()
    heads = disturbed(base, 5)
    closed = replace(heads, mixer=replace(heads.mixer, threshold=THRESHOLDS[-1]))
    features = logged(base, 500, seed=7).features
    np.testing.assert_array_equal(closed.greedy(features), base.greedy(features))


def test_the_base_itself_has_no_regret_and_poor_heads_have() -> None:
    base = make_base()
    assert gauge_of(base).regret(base) == 0
    opened = replace(disturbed(base, 6), mixer=Mixer(np.zeros(base.dimension, np.float32), -5.0))
    assert gauge_of(base).regret(opened) > 1


def test_platt_finds_the_curve_that_made_the_rewards() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.random(20_000).astype(np.float32)
    truth = Platt(1.5, 0.5).rewards(probabilities)
    found = Platt.fit(probabilities, (rng.random(20_000) < truth).astype(np.float32))
    assert found.slope == pytest.approx(1.5, abs=0.1)
    assert found.intercept == pytest.approx(0.5, abs=0.1)


def test_a_base_that_is_worse_where_it_is_surer_earns_nothing_by_being_left() -> None:
    probabilities = np.linspace(0.01, 1, 500).astype(np.float32)
    assert Platt.fit(probabilities, (probabilities < 0.5).astype(np.float32)).slope == 0


def test_without_held_out_anchors_there_is_no_regret() -> None:
    base = make_base()
    anchors = AnchorSet.split(logged(base, 0), 0.2, 0)
    assert RegretGauge.of(base, anchors.logged, anchors.held_out).regret(disturbed(base, 1)) == 0


def test_the_weight_of_the_appended_one_goes_into_the_threshold() -> None:
    mixer = shipped_mixer(np.array([1.0, 2.0, 0.5], np.float32), 2.0)
    assert mixer.threshold == 1.5
    np.testing.assert_array_equal(mixer.weight, [1, 2])


def test_the_split_is_the_same_after_a_restart_and_loses_nobody() -> None:
    batch = logged(make_base(), 50)
    first, again = AnchorSet.split(batch, 0.2, 3), AnchorSet.split(batch, 0.2, 3)
    np.testing.assert_array_equal(first.held_out.features, again.held_out.features)
    assert (len(first.train), len(first.held_out)) == (40, 10)
    rows = {row.tobytes() for part in (first.train, first.held_out) for row in part.features}
    assert rows == {row.tobytes() for row in batch.features}
