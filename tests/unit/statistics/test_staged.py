import doctest
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ol0.statistics import staged
from ol0.statistics.staged import ArmComparison, SessionEvidence
from unit.statistics.stored import dumped, restored

ALPHA = 0.1
TRIALS = 40
TOLERATED = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / TRIALS)
MARGIN = 0.02

rewards = st.lists(st.floats(0, 1), max_size=4).map(tuple)
sessions = st.builds(
    lambda treated, pairs, more, known: SessionEvidence(
        treated, tuple(r for r, _ in pairs), len(pairs) + more, tuple(mean for _, mean in pairs if known)
    ),
    st.booleans(),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=4),
    st.integers(1, 3),
    st.booleans(),
)


@dataclass(frozen=True)
class Traffic:
    """Sessions of three decisions, four in five voted; ``differ`` of them would be served differently by the arms.

    The control's success on those swings between .3 and .6 as traffic changes; ``gain`` is what the treated arm adds.
    """

    gain: float
    differ: float
    treated_share: float
    length: int

    def difference(self) -> float:
        return self.gain * self.differ

    def sessions(self, seed: int) -> Iterator[SessionEvidence]:
        rng = np.random.default_rng(seed)
        for i in range(self.length):
            treated = bool(rng.random() < self.treated_share)
            success = 0.45 + 0.15 * math.sin(i / 40) + self.gain * treated
            voted = rng.random(3) < 0.8
            differing = voted & (rng.random(3) < self.differ)
            drawn = (rng.random(3) < success).astype(float)
            if voted.any():
                yield SessionEvidence(treated, tuple(drawn[differing].tolist()), int(voted.sum()))


def naive_rejects(contributions: list[float], mean: float) -> bool:
    y = np.array(contributions) - mean
    n = np.arange(1, len(y) + 1)
    average = y.cumsum() / n
    deviation = np.sqrt(np.maximum((y * y).cumsum() / n - average**2, 1e-12))
    return bool((average / deviation * np.sqrt(n) > 1.282)[50:].any())


def test_the_docstring_examples_hold() -> None:
    assert doctest.testmod(staged).failed == 0


@pytest.mark.parametrize("treated_share", [0.5, 0.28])
def test_a_candidate_at_the_margin_is_rarely_approved_however_often_one_looks(treated_share: float) -> None:
    traffic = Traffic(gain=-0.1, differ=0.2, treated_share=treated_share, length=150)
    assert traffic.difference() == pytest.approx(-MARGIN)
    approved = naively = 0
    for seed in range(TRIALS):
        trial = ArmComparison.of(treated_share, MARGIN)
        totals = [0.0]
        for session in traffic.sessions(seed):
            trial.add(session)
            totals.append(trial.total)
        approved += trial.approval.rejects(ALPHA)
        naively += naive_rejects([after - before for before, after in pairwise(totals)], -MARGIN)
    assert approved / TRIALS <= TOLERATED
    assert naively / TRIALS > TOLERATED  # the check can fail


def test_an_equal_candidate_is_rarely_called_harmful_and_a_marginal_one_rarely_largely_so() -> None:
    harmful = largely = 0
    for seed in range(TRIALS):
        trial = ArmComparison.of(0.5, MARGIN)
        for session in Traffic(gain=0.0, differ=0.3, treated_share=0.5, length=100).sessions(seed):
            trial.add(session)
        harmful += trial.harm.rejects(ALPHA)
        trial = ArmComparison.of(0.5, MARGIN)
        for session in Traffic(gain=-0.1, differ=0.2, treated_share=0.5, length=100).sessions(seed):
            trial.add(session)
        largely += trial.large_harm.rejects(ALPHA)
    assert harmful / TRIALS <= TOLERATED
    assert largely / TRIALS <= TOLERATED


def sessions_until(traffic: Traffic, arm: str, alpha: float) -> float:
    """The median over three trials, infinite where the test never rejects."""
    needed = []
    for seed in range(3):
        trial = ArmComparison.of(traffic.treated_share, MARGIN)
        test = {"approval": trial.approval, "harm": trial.harm, "large harm": trial.large_harm}[arm]
        count = math.inf
        for i, session in enumerate(traffic.sessions(seed), 1):
            trial.add(session)
            if test.rejects(alpha):
                count = i
                break
        needed.append(count)
    return float(np.median(needed))


def test_good_candidates_are_approved_and_harmful_ones_stopped_within_a_trial() -> None:
    # The demo's trial ends undecided after 4,000 decisions, 1,200 sessions of the two arms; .025 is the first alpha.
    assert sessions_until(Traffic(0.3, 0.3, 0.55, 1200), "approval", 0.025) < 300
    assert sessions_until(Traffic(0.0, 0.07, 0.55, 1200), "approval", 0.05) < 1200
    assert sessions_until(Traffic(-0.3, 0.3, 0.55, 1200), "harm", 0.05) < 350
    assert sessions_until(Traffic(-0.3, 0.3, 0.55, 1200), "large harm", 0.05) < 600


@settings(max_examples=25)
@given(st.lists(sessions, max_size=20), rewards, st.floats(0.05, 0.95), st.sampled_from([None, 0.0, 0.3, 1.0]))
def test_a_session_contributes_the_difference_of_the_arms_on_average_over_the_coin(
    past: list[SessionEvidence], new: tuple[float, ...], share: float, expected_mean: float | None
) -> None:
    def contribution(*, treated: bool, values: tuple[float, ...]) -> float:
        trial = ArmComparison.of(share, MARGIN)
        for session in past:
            trial.add(session)
        before = trial.total
        trial.add(SessionEvidence(treated, values, 5, () if expected_mean is None else (expected_mean,) * len(values)))
        return trial.total - before

    # Given what either arm would earn here, the coin alone decides which of the two is seen.
    other = tuple(1 - reward for reward in new)
    expected = share * contribution(treated=True, values=new) + (1 - share) * contribution(treated=False, values=other)
    assert expected == pytest.approx((sum(new) - sum(other)) / 5, abs=1e-9)


@settings(max_examples=30)
@given(st.lists(sessions, max_size=30), st.integers(0, 30))
def test_a_restored_snapshot_goes_on_to_the_bit(stream: list[SessionEvidence], cut: int) -> None:
    whole, first = ArmComparison.of(0.3, MARGIN), ArmComparison.of(0.3, MARGIN)
    for session in stream:
        whole.add(session)
    for session in stream[:cut]:
        first.add(session)
    second = restored(first)
    for session in stream[cut:]:
        second.add(session)
    assert dumped(second) == dumped(whole)
    assert second.figures(0.05, 0.05) == whole.figures(0.05, 0.05)


def test_what_is_known_of_prompts_shortens_a_trial() -> None:
    """Half of the prompts are easy for both arms, half are hard; the treated arm is 15 points better on both."""

    def needed(*, known: bool) -> int:
        rng, trial = np.random.default_rng(0), ArmComparison.of(0.5, MARGIN)
        for count in range(1, 3_000):
            treated, easy = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
            reward = float(rng.random() < (0.8 if easy else 0.05) + 0.15 * treated)
            mean = (0.875 if easy else 0.125,) if known else ()
            trial.add(SessionEvidence(treated, (reward,), 1, mean))
            if trial.approval.rejects(0.025):
                return count
        raise AssertionError("never approved")

    assert needed(known=True) < 0.7 * needed(known=False)


def test_a_small_loss_is_harm_but_not_large_harm() -> None:
    trial = ArmComparison.of(0.5, 0.2)
    for _ in range(400):
        trial.add(SessionEvidence(treated=True, rewards=(0.4,), voted=1))
        trial.add(SessionEvidence(treated=False, rewards=(0.5,), voted=1))
    assert trial.harm.rejects(0.05)
    assert trial.approval.rejects(0.05)  # within the margin as well: which of the two counts is the gate's to say
    assert not trial.large_harm.rejects(0.05)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_the_most_extreme_sessions_stay_within_the_bound(share: float, reward: float) -> None:
    trial = ArmComparison.of(share, MARGIN)
    for _ in range(30):  # moves the centre as far as it goes
        trial.add(SessionEvidence(treated=True, rewards=(1 - reward,) * 3, voted=3))
    trial.add(SessionEvidence(treated=True, rewards=(reward,) * 7, voted=7))
    trial.add(SessionEvidence(treated=False, rewards=(reward,) * 7, voted=7))


def test_the_bounds_clear_at_the_moment_when_the_verdict_falls() -> None:
    trial = ArmComparison.of(0.5, MARGIN)
    moments = 0
    for session in Traffic(0.3, 0.3, 0.5, 250).sessions(0):
        before = trial.approval.rejects(0.05)
        trial.add(session)
        low = trial.figures(0.05, 0.05).low
        if not before:
            assert trial.approval.rejects(0.05) == (low is not None and low > -MARGIN)
            moments += trial.approval.rejects(0.05)
    assert moments == 1


def test_the_figures_say_what_was_seen() -> None:
    trial = ArmComparison.of(0.5, MARGIN)
    nothing = trial.figures(0.05, 0.05)
    assert (nothing.difference, nothing.low, nothing.high) == (None, None, None)
    traffic = Traffic(0.3, 0.3, 0.5, 2000)
    seen = list(traffic.sessions(1))
    for session in seen:
        trial.add(session)
    figures = trial.figures(0.05, 0.05)
    assert figures.treated_sessions == sum(session.treated for session in seen)
    assert figures.control_sessions == len(seen) - figures.treated_sessions
    assert figures.difference == pytest.approx(traffic.difference(), abs=0.03)
    assert figures.low is not None
    assert figures.high is not None
    assert figures.difference is not None
    assert figures.low < figures.difference < figures.high
    assert figures.approval.missing == 0
    assert figures.harm.missing is None


@pytest.mark.parametrize(("values", "voted"), [((1.1,), 1), ((-0.1,), 1), ((math.nan,), 1), ((1.0, 1.0), 1), ((), 0)])
def test_a_session_that_cannot_be_is_refused(values: tuple[float, ...], voted: int) -> None:
    with pytest.raises(ValueError, match="rewards"):
        SessionEvidence(treated=True, rewards=values, voted=voted)


def test_as_many_rewards_as_expectations() -> None:
    with pytest.raises(ValueError, match="2 rewards need as many expectations, found 1"):
        SessionEvidence(treated=True, rewards=(1.0, 0.0), voted=2, expected=(0.5,))


@pytest.mark.parametrize(("share", "margin"), [(0.0, 0.02), (1.0, 0.02), (0.5, -0.01), (0.5, 0.8)])
def test_a_comparison_that_cannot_be_is_refused(share: float, margin: float) -> None:
    with pytest.raises(ValueError, match="must lie within"):
        ArmComparison.of(share, margin)
