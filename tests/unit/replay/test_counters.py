from dataclasses import replace

from ol0.replay.counters import Counters, DecisionDrop, FeedbackDrop

BALANCED = Counters.parse(
    {
        b"count:decisions": b"10",
        b"count:decisions_late": b"1",
        b"count:outcomes": b"6",
        b"count:examples": b"3",
        b"count:null_rewards": b"2",
        b"count:capped": b"1",
        b"count:feedback": b"9",
        b"count:feedback_used": b"5",
        b"count:feedback_orphan": b"2",
        b"count:waiting": b"2",
        b"next:t.decisions.v1[0]": b"77",
    },
    open_windows=3,
)


def test_every_reason_has_a_figure() -> None:
    assert BALANCED.decisions_dropped == {reason: int(reason is DecisionDrop.LATE) for reason in DecisionDrop}
    assert set(BALANCED.feedback_dropped) == set(FeedbackDrop)


def test_sums_that_hold_are_not_mentioned() -> None:
    assert BALANCED.imbalances() == []


def test_each_sum_that_does_not_hold_is_named_with_its_figures() -> None:
    assert replace(BALANCED, open=2).imbalances() == ["decisions = outcomes + dropped + open: 10 is not 6 + 1 + 2"]
    assert replace(BALANCED, null_rewards=3).imbalances() == [
        "outcomes = examples + null rewards + capped: 6 is not 3 + 3 + 1"
    ]
    assert replace(BALANCED, waiting=0).imbalances() == ["feedback = used + dropped + waiting: 9 is not 5 + 2 + 0"]
