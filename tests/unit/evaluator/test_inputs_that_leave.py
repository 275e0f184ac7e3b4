import json
from dataclasses import replace
from functools import cache

from ol0.config import EvaluationConfig
from ol0.evaluator.handler import OnlineEvaluator
from ol0.records import Arm, Gate, Judgement, Reason, Record, Tick, Verdict
from support.examples import VERDICT
from support.keyrings import keyring, new_keys
from unit.evaluator.test_evaluator import START_MS, traffic

BETTER = {Arm.LIVE: 0.8, Arm.STAGED: 0.8, Arm.HOLDBACK: 0.5}
BREAK = 4_000  # the outcome before which inputs leave, and the second of it
BREAK_MS = START_MS + 1_000 * BREAK
END = Tick(START_MS + 10**9)


def told(check: str, time_ms: int = BREAK_MS, gate: Gate = Gate.DRIFT) -> Verdict:
    reason = Reason(check, 0.97, 0.5, 0.5, "inputs have left the anchors")
    return replace(VERDICT, gate=gate, judgement=Judgement.HOLD, reasons=(reason,), time_ms=time_ms)


@cache
def before() -> bytes:
    """An evaluator that has seen a great lift."""
    evaluator = OnlineEvaluator()
    for record in traffic(BREAK, BETTER):
        evaluator.handle(record)
    return evaluator.snapshot()


def after(*records: Record, evaluator: OnlineEvaluator | None = None) -> OnlineEvaluator:
    evaluator = evaluator or OnlineEvaluator()
    evaluator.restore(before())
    for record in (*records, END):
        evaluator.handle(record)
    return evaluator


def test_a_lift_across_a_break_is_not_proven_and_begins_anew_at_it() -> None:
    assert after().figures().proven
    figures = after(told("inputs")).figures()
    assert not figures.proven
    assert (figures.inputs_away_since_ms, figures.lift_since_ms) == (BREAK_MS, BREAK_MS)
    assert figures.lift is not None
    assert figures.lift.treated_sessions == 0


def test_while_inputs_are_away_nothing_is_proven_and_afterwards_what_comes_is() -> None:
    away = after(told("inputs"), *traffic(2_000, BETTER, seed=2, first=BREAK)).figures()
    assert away.lift is not None
    assert away.lift.low is not None
    assert away.lift.low > 0
    assert not away.proven

    back_ms = BREAK_MS + 4_000_000
    rest: list[Record] = [told("inputs"), *traffic(500, BETTER, seed=2, first=BREAK), told("inputs_back", back_ms)]
    assert not after(*rest).figures().proven
    back = after(*rest, *traffic(2_000, BETTER, seed=3, first=8_000)).figures()
    assert (back.inputs_away_since_ms, back.lift_since_ms) == (None, back_ms)
    assert back.proven


def test_decisions_from_before_the_break_whose_windows_close_later_do_not_count() -> None:
    late = [replace(one, window_end_ms=one.window_end_ms + 10**7) for one in traffic(1_000, BETTER, first=BREAK)]
    figures = after(told("inputs", BREAK_MS + 500_000), *late).figures()
    assert figures.lift is not None
    assert 350 < figures.lift.treated_sessions + figures.lift.control_sessions < 450


def test_the_target_is_asked_of_the_lift_since_the_break_and_not_of_the_sums_across_it() -> None:
    # Given a gain of 60 % before the break, and of 30 % since
    less = {Arm.LIVE: 0.65, Arm.STAGED: 0.65, Arm.HOLDBACK: 0.5}
    evaluator = OnlineEvaluator(EvaluationConfig(target_improvement_percent=45))
    rest: list[Record] = [told("inputs"), told("inputs_back", BREAK_MS + 1), *traffic(3_000, less, seed=5, first=BREAK)]
    figures = after(*rest, evaluator=evaluator).figures()
    assert figures.aggregate_improvement_percent is not None
    assert figures.aggregate_improvement_percent > 45
    assert figures.lift is not None
    assert figures.lift.low is not None
    assert figures.lift.low > 0
    assert not figures.proven


def test_the_same_word_again_and_words_of_others_change_nothing() -> None:
    since = list(traffic(500, BETTER, seed=2, first=BREAK))
    once = after(told("inputs"), *since).figures()
    assert after(told("inputs"), *since, told("inputs")).figures().lift == once.lift
    for word in (told("inputs", gate=Gate.CANARY), told("lost_lift"), told("kl")):
        assert after(word).figures().proven


def test_what_nobody_signed_proves_and_unproves_nothing() -> None:
    drift = keyring(new_keys())
    assert after(told("inputs"), evaluator=OnlineEvaluator(keys=drift)).figures().proven
    assert not after(drift.sign(told("inputs")), evaluator=OnlineEvaluator(keys=drift)).figures().proven


def test_a_restart_in_the_middle_remembers_the_break() -> None:
    first = after(told("inputs"))
    restored = OnlineEvaluator()
    restored.restore(first.snapshot())
    assert restored.figures() == first.figures()
    assert json.loads(restored.snapshot()) == json.loads(first.snapshot())
    restored.handle(told("inputs"))
    assert restored.figures() == first.figures()
