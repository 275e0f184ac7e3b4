from dataclasses import replace

import numpy as np
import pytest

from ol0.controller.heads import Mixer
from ol0.errors import CheckpointError
from ol0.learning.calibration import CLOSED, THRESHOLDS, Platt
from ol0.learning.evidence import Evidence
from ol0.learning.known_prompts import KnownPrompts
from ol0.learning.trust import Trust
from ol0.learning.values.evidence import Bet
from ol0.learning.values.fit import Fit
from ol0.learning.values.scales import Scales
from ol0.learning.values.state import Policy, State, pack, unpack
from unit.learning.learner_world import DIMENSION, logged, make_base

BASE = make_base((2, 3))
BATCH = logged(BASE, 50, new=True)


def policy() -> Policy:
    rng = np.random.default_rng(0)
    mixer = Mixer(rng.normal(size=DIMENSION).astype(np.float32), 0.1 + 0.2)
    regrets = np.linspace(2, -0.1, len(THRESHOLDS)).astype(np.float32)
    return Policy(BASE.base, mixer, regrets, (Platt(1 / 3, -0.2), Platt(0.0, 0.7)), lead=1 / 7)


def state(*, refitted: bool = True) -> State:
    first = State(
        fitted=9,
        excluded=8,
        refits=3,
        bets=(Bet(1 / 7), Bet(0.25)),
        evidence=Evidence().seen(BATCH.features),
        known=KnownPrompts.none().after(BATCH.features),
        trust=Trust.nobody().seen(BATCH.users).drawn(BATCH.users, BATCH.rewards, np.full(50, 0.3, np.float32)),
        seen=50,
    )
    if not refitted:
        return first
    rng = np.random.default_rng(1)
    scales = Scales(noise=0.2, shared=1 / 3, own=0.1, own_offset=0.3, slopes=DIMENSION)
    fits = tuple(Fit(rng.normal(size=(k, DIMENSION + 1)), scales, 1 / k) for k in BASE.choices)
    return replace(first, policy=policy(), fits=fits)


@pytest.mark.parametrize("refitted", [False, True])
def test_what_is_packed_comes_back_bit_for_bit(*, refitted: bool) -> None:
    before = state(refitted=refitted)
    again = unpack(pack(before), BASE)
    assert pack(again) == pack(before)
    for name in ("fitted", "excluded", "refits", "bets", "evidence", "seen"):
        assert getattr(again, name) == getattr(before, name)
    np.testing.assert_array_equal(again.known.tags, before.known.tags)
    np.testing.assert_array_equal(again.trust.doubt, before.trust.doubt)
    assert len(again.fits) == (2 if refitted else 0)
    for mine, its in zip(again.fits, before.fits, strict=True):
        np.testing.assert_array_equal(mine.weights, its.weights)
        assert (mine.scales, mine.alike) == (its.scales, its.alike)


def test_a_policy_that_knew_thresholds_up_to_5_loses_no_more_above_them() -> None:
    known = THRESHOLDS[: THRESHOLDS.index(5.0) + 1]
    before = replace(policy(), regrets=np.append(np.linspace(2, 0.7, len(known)), 0).astype(np.float32))
    again = unpack(pack(replace(state(), policy=before)), BASE).policy
    assert again is not None
    assert [again.closed_by(budget) for budget in (2, 0.8, 0.6)] == [0, before.closed_by(0.8), CLOSED]
    assert again.regrets[THRESHOLDS.index(20)] == again.regrets[THRESHOLDS.index(5)]


def test_who_had_won_the_one_bet_of_former_versions_has_the_second_before_it() -> None:
    both = f'"nats": [{1 / 7}, 0.25]'.encode()
    assert DATA.count(both) == 1
    again = unpack(DATA.replace(both, f'"nats": {1 / 7}'.encode().ljust(len(both))), BASE)
    assert again.bets == (Bet(1 / 7), Bet())


def test_a_policy_that_comes_back_serves_the_same() -> None:
    again = unpack(pack(state()), BASE).policy
    assert again is not None
    ours, theirs = (it.on(BASE, 0.4).policy(BATCH.features) for it in (policy(), again))
    for mine, its in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, its)
    assert again.live == policy().live


def test_the_budget_decides_the_threshold_and_none_is_small_enough_for_all() -> None:
    it = policy()
    assert it.closed_by(2.5) == THRESHOLDS[0]
    chosen = it.closed_by(0.5)
    assert it.regrets[THRESHOLDS.index(chosen)] <= 0.5 < it.regrets[THRESHOLDS.index(chosen) - 1]
    assert it.closed_by(-1.0) == CLOSED


def test_heads_of_another_base_are_refused_with_both_shapes() -> None:
    with pytest.raises(
        CheckpointError, match=r"heads of \[\(2, 6\), \(3, 6\)\], the base of this lineage \[\(4, 6\)\]"
    ):
        unpack(pack(state()), make_base((4,)))


DATA = pack(state())


@pytest.mark.parametrize("data", [b"", DATA[:-1], DATA[:40], b"x" * 99], ids=["none", "cut", "short", "other"])
def test_damaged_bytes_are_refused_with_what_helps(data: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"cannot be read: .*; `ol0 snapshots delete` removes it"):
        unpack(data, BASE)


def test_numbers_that_are_none_are_refused() -> None:
    for old, new in ((b'"fitted": 9', b'"fitted":"9x'), (b'"refits"', b'"refitz"'), (b'"alike"', b'"alikx"')):
        assert DATA.count(old) >= 1
        with pytest.raises(CheckpointError, match="cannot be read"):
            unpack(DATA.replace(old, new), BASE)
