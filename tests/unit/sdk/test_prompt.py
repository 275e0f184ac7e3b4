from collections import Counter
from dataclasses import replace
from random import Random
from uuid import UUID

import numpy as np
import pytest

from ol0.config import ServingConfig
from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.numbering import number_of
from ol0.errors import RangeError
from ol0.records import Arm, FeaturesDtype, Mode
from ol0.sdk.options import Options
from ol0.sdk.router import Router
from ol0.sdk.view import view_of_state
from testbed.serving_states import BASE, EPSILON, LIVE, PARTS, STAGED, D, Log, a_router, a_state, features


def test_actions_come_as_often_as_their_propensities_say() -> None:
    """Every pair of parts, against the product of what the choices said of themselves."""
    prompt, vector, draws = a_router(a_state()).prompt("s"), features(1)[0], 40_000
    choices = Counter((choice.action, choice.propensity) for choice in (prompt.decide(vector) for _ in range(draws)))
    assert len(choices) == np.prod([count for _, count in PARTS])
    expected = [draws * float(np.prod(propensity)) for _, propensity in choices]
    assert sum(expected) == pytest.approx(draws)
    chi_square = sum((count - mean) ** 2 / mean for count, mean in zip(choices.values(), expected, strict=True))
    assert chi_square < 24.7, "the 99th percentile with 11 degrees of freedom"


def test_the_propensity_of_a_part_is_that_of_the_design() -> None:
    router, vector = a_router(a_state(), holdback=0), features(1)[0]
    greedy = read_checkpoint(LIVE.heads).greedy(vector)
    prompt = router.prompt("s")
    for _ in range(500):
        choice = prompt.decide(vector)
        for taken, best, share, (_, count) in zip(choice.action, greedy, choice.propensity, PARTS, strict=True):
            assert share == pytest.approx((1 - EPSILON) * (taken == best) + EPSILON / count, abs=1e-12)


def test_exploration_is_the_same_in_every_arm() -> None:
    log = Log()
    router = a_router(a_state(staged=STAGED), log)
    for number in range(3_000):
        router.prompt(f"s{number}").decide(features(1)[0])
    shares = {arm: np.mean([min(one.propensity) < 0.8 for one in log.decisions if one.arm is arm]) for arm in Arm}
    expected = 1 - np.prod([1 - EPSILON * (1 - 1 / count) for _, count in PARTS])
    for share in shares.values():
        assert share == pytest.approx(expected, abs=0.05)


def test_ids_are_canonical_and_never_repeat() -> None:
    router, vector = a_router(a_state()), features(1)[0]
    ids = [router.prompt("s").decide(vector).decision_id for _ in range(500)]
    prompt = router.prompt("s")
    ids += [prompt.decide(vector).decision_id for _ in range(5)]
    assert len(set(ids)) == len(ids)
    assert all(str(UUID(one)) == one and UUID(one).version == 4 for one in ids)


def test_what_is_logged_is_numbered_by_arm_and_what_is_not_takes_no_number() -> None:
    log = Log()
    router, vector = a_router(a_state(staged=STAGED), log), features(1)[0]
    for place in range(200):
        if place == 100:
            router.kill()
            unnumbered = [router.prompt("s").decide(vector).decision_id for _ in range(10)]
            assert {number_of(one) for one in unnumbered} == {None}
            router.revive()
        router.prompt(f"s{place}").decide(vector)
    numbers = [(one.arm, number_of(one.decision_id)) for one in log.decisions]
    for arm in Arm:
        mine = [number for served, number in numbers if served is arm and number is not None]
        assert [one.number for one in mine] == list(range(1, len(mine) + 1))
        assert mine
    assert len({number.router for _, number in numbers if number is not None}) == 1


def test_the_record_says_what_was_decided() -> None:
    log = Log()
    router, vector = a_router(a_state(sequence=9), log), features(1)[0]
    with router.prompt("session", user="ann@example.org", group="new", turn=3) as prompt:
        choices = [prompt.decide(vector), prompt.decide(vector)]
    for choice, record in zip(choices, log.decisions, strict=True):
        assert (record.decision_id, record.action, record.propensity) == choice[:3]
        assert (record.arm, record.digest) == choice[3:]
        assert (record.session_id, record.group, record.serving_sequence, record.staged) == ("session", "new", 9, None)
        assert record.user is not None
        assert len(record.user) == 32
        greedy = [tuple(read_checkpoint(one.heads).greedy(vector).tolist()) for one in (BASE, LIVE)]
        assert [record.greedy_base, record.greedy_live, record.greedy_staged] == [*greedy, None]
        np.testing.assert_array_equal(record.feature_vector(), vector)
    assert [record.turn for record in log.decisions] == [3, 4]
    assert b"ann" not in repr(log.records).encode()


def test_while_a_candidate_is_staged_the_record_says_what_each_would_do() -> None:
    log = Log()
    router = a_router(a_state(staged=STAGED), log)
    for number, vector in enumerate(features(50)):
        router.prompt(f"s{number}").decide(vector)
        record = log.decisions[-1]
        assert record.staged == STAGED.digest
        greedy = [tuple(read_checkpoint(one.heads).greedy(vector).tolist()) for one in (BASE, LIVE, STAGED)]
        assert [record.greedy_base, record.greedy_live, record.greedy_staged] == greedy


def test_a_known_user_keeps_the_arm_over_all_sessions() -> None:
    router, vector = a_router(a_state(staged=STAGED)), features(1)[0]
    for user in map(str, range(20)):
        assert len({router.prompt(f"s{n}", user=user).decide(vector).arm for n in range(20)}) == 1


def test_float16_decisions_can_be_repeated_from_the_log() -> None:
    log = Log()
    options = Options(features_dtype=FeaturesDtype.FLOAT16, rng=Random(1))
    router = Router(view_of_state(a_state(staged=STAGED)), ServingConfig(), options, log)
    live, prompts = read_checkpoint(LIVE.heads), features(200_000)
    rounded = prompts.astype(np.float16).astype(np.float32)
    close = prompts[(live.greedy(prompts) != live.greedy(rounded)).any(axis=1)]
    assert len(close) > 5, "prompts on which the rounding decides"
    for number, vector in enumerate(close):
        router.prompt(f"s{number}").decide(vector)
        record = log.decisions[-1]
        assert len(record.features) == 2 * D
        assert record.greedy_live == tuple(live.greedy(record.feature_vector()).tolist())


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.OFF])
def test_observe_logs_the_base_and_off_logs_nothing_and_explores_nothing(mode: Mode) -> None:
    log = Log()
    router, vector = a_router(a_state(mode=mode), log), features(1)[0]
    choices = [router.prompt(f"s{n}").decide(vector) for n in range(200)]
    assert {(choice.digest, choice.arm) for choice in choices} == {(BASE.digest, Arm.HOLDBACK)}
    assert len(log.decisions) == (200 if mode is Mode.OBSERVE else 0)
    explored = {choice.propensity for choice in choices}
    assert (len(explored) == 1 and explored == {(1.0, 1.0)}) is (mode is Mode.OFF)


@pytest.mark.parametrize("bad", [np.full(D, np.nan), np.zeros(D + 1), "words", None])
def test_bad_features_are_refused_and_not_logged(bad: object) -> None:
    log = Log()
    with pytest.raises(RangeError):
        a_router(a_state(), log).prompt("s").decide(bad)  # type: ignore[arg-type]
    assert not log.records


def test_lists_and_other_floats_are_taken() -> None:
    prompt = a_router(replace(a_state(), live=BASE)).prompt("s")
    prompt._exploring = 0.0
    vector = features(1)[0]
    assert prompt.decide(vector.tolist()).action == prompt.decide(vector.astype(np.float64)).action
