import doctest
import json
import math

import numpy as np
import pytest

from ol0.statistics import sample_ratio, seen
from ol0.statistics.sample_ratio import SampleRatio
from ol0.statistics.seen import BITS, SeenUnits
from unit.statistics.stored import dumped, loaded, restored

ALPHA = 0.1
RUNS = 60
TOLERATED = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)


def units_until(probability: float, kept: float, *, after: int = 0, seed: int = 0, most: int = 1_500) -> float:
    """After how many units the loss of all but ``kept`` of the treated ones is found at .0025; infinite if never."""
    rng, ratio = np.random.default_rng(seed), SampleRatio()
    for unit in range(most):
        keeps = kept if unit >= after else 1.0
        odds = probability * keeps
        ratio.add(treated=bool(rng.random() < odds / (odds + 1 - probability)), probability=probability)
        if ratio.rejects(0.0025):
            return unit + 1 - after
    return math.inf


def test_the_docstring_examples_hold() -> None:
    assert doctest.testmod(sample_ratio).failed == doctest.testmod(seen).failed == 0


def test_units_that_fall_as_they_are_due_are_rarely_found_amiss_however_often_one_looks() -> None:
    # The probability moves from unit to unit, as it does while trials come and go.
    found = naively = 0
    for seed in range(RUNS):
        rng, ratio, wrong = np.random.default_rng(seed), SampleRatio(), False
        surplus = variance = 0.0
        for unit in range(600):
            p = 0.1 + 0.6 * (unit % 7) / 6
            treated = bool(rng.random() < p)
            ratio.add(treated=treated, probability=p)
            surplus, variance = surplus + treated - p, variance + p * (1 - p)
            wrong |= unit > 30 and abs(surplus) / math.sqrt(variance) > 1.645
        found += ratio.rejects(ALPHA)
        naively += wrong
    assert found / RUNS <= TOLERATED
    assert naively / RUNS > TOLERATED  # the check can fail


@pytest.mark.parametrize(
    ("probability", "kept", "most"), [(0.05, 0.0, 250), (0.05, 0.5, 1_500), (0.28, 0.0, 50), (0.28, 0.5, 400)]
)
def test_a_loss_is_found_within(probability: float, kept: float, most: int) -> None:
    assert float(np.median([units_until(probability, kept, seed=seed) for seed in range(7)])) <= most


def test_a_loss_that_begins_late_is_found_nearly_as_soon() -> None:
    early = np.median([units_until(0.28, 0.3, seed=seed) for seed in range(5)])
    late = np.median([units_until(0.28, 0.3, after=1_000, seed=seed, most=1_500) for seed in range(5)])
    assert late < 2 * early + 50


def test_too_many_are_found_like_too_few() -> None:
    ratio = SampleRatio()
    for _ in range(30):
        ratio.add(treated=True, probability=0.3)
    assert ratio.rejects(0.01)


def test_what_is_found_stays_found_and_never_overflows() -> None:
    ratio = SampleRatio()
    for _ in range(3_000):
        ratio.add(treated=True, probability=0.01)
    assert ratio.rejects(1e-9)
    for _ in range(20_000):
        ratio.add(treated=False, probability=0.01)
    assert ratio.rejects(1e-9)
    assert math.isfinite(restored(ratio).largest)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, math.nan])
def test_an_arm_that_is_certain_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="must lie within"):
        SampleRatio().add(treated=True, probability=probability)


def test_a_restored_snapshot_goes_on_to_the_bit() -> None:
    rng, whole, first = np.random.default_rng(1), SampleRatio(), SampleRatio()
    stream = [bool(one) for one in rng.random(180) < 0.4]
    for treated in stream:
        whole.add(treated=treated, probability=0.3)
    for treated in stream[:77]:
        first.add(treated=treated, probability=0.3)
    second = restored(first)
    for treated in stream[77:]:
        second.add(treated=treated, probability=0.3)
    assert dumped(second) == dumped(whole)


def test_a_snapshot_with_other_tilts_is_refused() -> None:
    with pytest.raises(ValueError, match="start a new test"):
        loaded(SampleRatio, json.dumps({**json.loads(dumped(SampleRatio())), "wealth": [1.0]}).encode())


def test_units_are_remembered_within_a_few_kilobytes() -> None:
    units = SeenUnits()
    first = sum(units.first(f"user-{n}") for n in range(10_000))
    assert first > 8_500, "few are left out by mistake"
    assert not any(units.first(f"user-{n}") for n in range(10_000))
    assert not units.full
    for n in range(15_000):
        units.first(f"session-{n}")
    assert units.full
    assert len(units.snapshot()) < BITS // 8 * 1.4
    again = SeenUnits.from_snapshot(units.snapshot())
    assert not again.first("user-1")
    assert again.full


@pytest.mark.parametrize("text", ["AAAA", "eJwDAAAAAAE="])
def test_units_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="units that were counted"):
        SeenUnits.from_snapshot(text)
