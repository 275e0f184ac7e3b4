from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from ol0.controller.checkpoint import digest_of, read_checkpoint, write_checkpoint
from ol0.controller.hysteresis import Hysteresis
from ol0.errors import CheckpointError, RangeError
from ol0.gates.answers import differ
from ol0.records import Action, Digest, Mode, Release, ServingState
from ol0.sdk.view import view_of_state
from testbed.serving_states import BASE, EPSILON, LIVE, PARTS, STAGED, Log, a_release, a_router, a_state, features

SETTING = Hysteresis((0.6, 0.4), 0.5)
PROMPTS = features(400)
OTHER: Action = (3, 2)


def looking_back(release: Release, base: Digest | None, parent: Digest | None) -> Release:
    """The release with the setting, named and approved anew."""
    plain = read_checkpoint(release.heads)
    manifest = replace(plain.manifest, base=base, parent=parent, hysteresis=SETTING)
    heads = write_checkpoint(manifest, plain.base, plain.learnt, plain.mixer)
    digest = digest_of(heads)
    approvals = tuple(
        replace(verdict, digest=digest, base=base or digest, parent=parent or digest) for verdict in release.approvals
    )
    return Release(digest, release.step, heads, approvals)


@cache
def lineage() -> tuple[Release, Release, Release]:
    base = looking_back(BASE, None, None)
    live = looking_back(LIVE, base.digest, base.digest)
    return base, live, looking_back(STAGED, base.digest, live.digest)


def state(*, trial: bool = False) -> ServingState:
    base, live, staged = lineage()
    return replace(a_state(live=live, staged=staged if trial else None), base=base)


def test_the_propensity_is_that_of_the_action_with_hysteresis() -> None:
    router, live = a_router(state(), holdback=0), read_checkpoint(lineage()[1].heads)
    kept = 0
    for vector in PROMPTS:
        greedy = live.greedy(vector, np.array(OTHER))
        kept += tuple(greedy.tolist()) == OTHER
        choice = router.prompt("s").decide(vector, previous=OTHER)
        for taken, best, share, (_, count) in zip(choice.action, greedy, choice.propensity, PARTS, strict=True):
            assert share == pytest.approx((1 - EPSILON) * (taken == best) + EPSILON / count, abs=1e-12)
    assert 20 < kept < len(PROMPTS) - 20, "prompts that keep the action, and prompts that leave it"


def test_actions_come_as_often_as_their_propensities_say() -> None:
    live = read_checkpoint(lineage()[1].heads)
    best, taken = live.greedy(PROMPTS), live.greedy(PROMPTS, np.tile(OTHER, (len(PROMPTS), 1)))
    vector = PROMPTS[np.flatnonzero((taken == OTHER).all(axis=1) & (best != OTHER).any(axis=1))[0]]
    prompt, draws = a_router(state(), holdback=0, seed=2).prompt("s"), 40_000
    found = Counter((one.action, one.propensity) for one in (prompt.decide(vector, OTHER) for _ in range(draws)))
    expected = [draws * float(np.prod(propensity)) for _, propensity in found]
    assert sum(expected) == pytest.approx(draws)
    chi_square = sum((count - mean) ** 2 / mean for count, mean in zip(found.values(), expected, strict=True))
    assert chi_square < 24.7, "the 99th percentile with 11 degrees of freedom"


def test_every_arm_looks_back() -> None:
    router, policies = a_router(state(trial=True)), [read_checkpoint(one.heads) for one in lineage()]
    by_digest = {policy.digest: policy for policy in policies}
    served = Counter[Digest]()
    for number in range(600):
        vector = PROMPTS[number % len(PROMPTS)]
        choice = router.prompt(f"s{number}").decide(vector, previous=OTHER)
        served[choice.digest] += 1
        greedy = by_digest[choice.digest].greedy(vector, np.array(OTHER))
        expected = [
            (1 - EPSILON) * (taken == best) + EPSILON / count
            for taken, best, (_, count) in zip(choice.action, greedy, PARTS, strict=True)
        ]
        assert choice.propensity == pytest.approx(expected)
    assert set(served) == set(by_digest)


def test_without_a_previous_action_or_without_the_setting_nothing_changes() -> None:
    plain, back = a_router(a_state(), holdback=0), a_router(state(), holdback=0)
    for vector in PROMPTS:
        chosen = [
            plain.prompt("s").decide(vector)[1:3],
            back.prompt("s").decide(vector)[1:3],
        ]
        assert chosen[0] == chosen[1]
    without, given = a_router(a_state(), seed=2), a_router(a_state(), seed=2)
    for vector in PROMPTS:
        assert without.prompt("s").decide(vector)[1:3] == given.prompt("s").decide(vector, previous=OTHER)[1:3]


def test_what_each_arm_would_do_is_unknown_to_the_gates_once_an_arm_has_led_there() -> None:
    log = Log()
    router = a_router(state(trial=True), log)
    for number, vector in enumerate(PROMPTS[:50]):
        with router.prompt(f"s{number}") as prompt:
            prompt.decide(vector, previous=prompt.decide(vector).action)
    for first, second in zip(log.decisions[::2], log.decisions[1::2], strict=True):
        vector = first.feature_vector()
        greedy = [tuple(read_checkpoint(one.heads).greedy(vector).tolist()) for one in lineage()]
        assert [first.greedy_base, first.greedy_live, first.greedy_staged] == greedy
        assert second.staged == first.staged
        assert second.greedy_base is second.greedy_live is second.greedy_staged is None
        assert differ(second.greedy_live, second.greedy_staged)


def test_where_nothing_looks_back_the_gates_know_every_action() -> None:
    log = Log()
    a_router(a_state(staged=STAGED), log).prompt("s").decide(PROMPTS[0], previous=OTHER)
    assert log.decisions[0].greedy_staged is not None


@pytest.mark.parametrize("previous", [(), (0,), (0, 0, 0), (4, 0), (-1, 0), (0.0, 0), (None, 0)])
@pytest.mark.parametrize("looks_back", [False, True])
def test_a_previous_action_that_is_none_is_refused(previous: Action, *, looks_back: bool) -> None:
    router = a_router(state() if looks_back else a_state())
    with pytest.raises(RangeError, match=r"not one index below each of \(4, 3\)"):
        router.prompt("s").decide(PROMPTS[0], previous=previous)


def test_the_base_that_serves_when_killed_looks_back_too() -> None:
    router = a_router(replace(state(), mode=Mode.OFF))
    base = read_checkpoint(lineage()[0].heads)
    for vector in PROMPTS:
        action = router.prompt("s").decide(vector, previous=OTHER).action
        assert action == tuple(base.greedy(vector, np.array(OTHER)).tolist())


def test_a_release_with_another_setting_than_its_base_refuses_the_state() -> None:
    base, live, _ = lineage()
    dropped = a_release(base.digest, base.digest, 1)
    assert read_checkpoint(dropped.heads).manifest.hysteresis is None
    with pytest.raises(CheckpointError, match="hysteresis"):
        view_of_state(replace(a_state(live=dropped), base=base))
    view_of_state(replace(a_state(live=live), base=base))
