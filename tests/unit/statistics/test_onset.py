import numpy as np
import pytest

from ol0.statistics.onset import Onset, OnsetState
from unit.statistics.stored import dumped, loaded, restored


def run(onset: Onset, seen: np.ndarray, alpha: float) -> int | None:
    """How many observations it took to reject; None: all of them were not enough."""
    for number, one in enumerate(seen):
        onset.update(bool(one))
        if onset.rejects(alpha):
            return number + 1
    return None


def test_under_the_null_it_rejects_at_most_as_often_as_it_says() -> None:
    # The worst null: exactly the share, all the time
    rng = np.random.default_rng(5)
    found = [run(Onset(0.5), rng.random(400) < 0.5, 0.1) for _ in range(300)]
    assert sum(one is not None for one in found) <= 0.1 * 300


@pytest.mark.parametrize("quiet", [0, 100, 10_000])
def test_a_rise_shows_soon_however_long_it_was_quiet_before(quiet: int) -> None:
    rng = np.random.default_rng(quiet)
    onset = Onset(0.5)
    assert run(onset, rng.random(quiet) < 0.1, 0.001) is None
    took = run(onset, rng.random(400) < 0.95, 0.001)
    assert took is not None
    assert took <= 20 + 2 * np.log(quiet + 1) / 0.3
    assert abs(onset.state.since - quiet) <= 3


def test_a_share_that_only_comes_near_is_left_alone() -> None:
    rng = np.random.default_rng(1)
    slow = rng.random(5_000) < np.linspace(0, 0.45, 5_000)
    assert run(Onset(0.5), slow, 0.001) is None


def test_a_snapshot_goes_on_to_the_bit() -> None:
    rng = np.random.default_rng(2)
    one = Onset(0.6)
    assert restored(one.state) == one.state
    run(one, rng.random(50) < 0.5, 1e-9)
    two = Onset(0.6, restored(one.state))
    for seen in rng.random(50) < 0.7:
        one.update(bool(seen))
        two.update(bool(seen))
    assert dumped(one.state) == dumped(two.state)
    assert one.log_capital == two.log_capital


def test_what_is_no_share_or_no_snapshot_is_refused() -> None:
    with pytest.raises(ValueError, match="share"):
        Onset(1.0)
    with pytest.raises(ValueError, match="2 bets, expected 3"):
        loaded(OnsetState, b'{"count": 1, "since": 0, "climb": 0.0, "log_wealth": [0.0, 0.0]}')
