import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ol0.config import StreamingConfig
from ol0.feedback.reward import Reward, reward
from ol0.records import (
    DecisionId,
    Feedback,
    ImplicitFeedback,
    ImplicitKind,
    RewardParts,
    ToolFeedback,
    UserFeedback,
)
from ol0.wire.payloads import action_code, largest_sizes
from support.feedback_entries import feedback_entry

TAKEN = action_code((3, 1))
WEIGHTS = StreamingConfig().reward_weights


def about(name: str, source: str, time_ms: int) -> tuple[str, DecisionId, str, str, int]:
    return name, DecisionId("00000000-0000-0000-0000-000000000001"), "session", source, time_ms


def thumb(value: int, source: str = "ann", time_ms: int = 1, name: str = "thumb") -> UserFeedback:
    return UserFeedback(*about(name, source, time_ms), thumb=value)


def rating(value: int, source: str = "ann", time_ms: int = 1) -> UserFeedback:
    return UserFeedback(*about("rating", source, time_ms), rating=value)


def correction(*action: int) -> UserFeedback:
    return UserFeedback(*about("correction", "ann", 1), correction=action)


def tool(name: str, success: bool, time_ms: int = 1) -> ToolFeedback:  # noqa: FBT001 - the field of the record
    return ToolFeedback(*about(f"{name}-{time_ms}", "host", time_ms), tool=name, success=success)


def implicit(kind: ImplicitKind, strength: float) -> ImplicitFeedback:
    return ImplicitFeedback(*about(kind, "detector", 1), kind=kind, strength=strength)


def judge(*said: Feedback, missing: float | None = None) -> Reward:
    return reward([feedback_entry(record, record.time_ms) for record in said], TAKEN, WEIGHTS, missing)


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        (thumb(1), RewardParts(thumb=1)),
        (thumb(-1), RewardParts(thumb=0)),
        (rating(1), RewardParts(rating=0)),
        (rating(4), RewardParts(rating=0.75)),
        (rating(5), RewardParts(rating=1)),
        (correction(3, 1), RewardParts(correction=1)),
        (correction(0, 1), RewardParts(correction=0)),
        (correction(3, 0), RewardParts(correction=0.5)),  # the right one, in another way
        (tool("search", success=True), RewardParts(tool=1)),
        (tool("search", success=False), RewardParts(tool=0)),
        (implicit(ImplicitKind.COPY, 0.5), RewardParts(implicit=0.75)),
        (implicit(ImplicitKind.RETRY, 0.5), RewardParts(implicit=0.25)),
        (implicit(ImplicitKind.ABANDONMENT, 1), RewardParts(implicit=0)),
        (implicit(ImplicitKind.COPY, 0), RewardParts(implicit=0.5)),
    ],
)
def test_each_kind_of_feedback_is_a_part_from_0_to_1(said: Feedback, parts: RewardParts) -> None:
    judged = judge(said)

    assert judged.parts == parts
    assert (judged.used, judged.superseded) == (1, 0)


def test_several_parts_are_a_weighted_mean() -> None:
    assert judge(thumb(-1), correction(3, 1)).value == pytest.approx(2 / 3)
    assert judge(implicit(ImplicitKind.COPY, 1), tool("search", success=False)).value == pytest.approx(0.5 / 1.5)


def test_one_record_may_say_several_things() -> None:
    both = UserFeedback(*about("both", "ann", 1), thumb=1, rating=3, correction=(0, 0))

    judged = judge(both)

    assert judged.parts == RewardParts(thumb=1, rating=0.5, correction=0)
    assert judged.value == pytest.approx((1 + 0.5 + 0) / 4)
    assert judged.used == 1


def test_the_last_of_contradicting_signals_of_one_source_wins() -> None:
    assert judge(thumb(1, time_ms=1), thumb(-1, time_ms=2)) == Reward(0.0, RewardParts(thumb=0), 1, 1)


def test_of_signals_at_the_same_time_one_wins_whatever_the_order_of_arrival() -> None:
    said = [thumb(1, name="one"), thumb(-1, name="two")]

    assert judge(*said) == judge(*reversed(said))


def test_several_sources_are_a_mean() -> None:
    assert judge(thumb(1, "ann"), thumb(-1, "bob"), thumb(1, "eve")).value == pytest.approx(2 / 3)


def test_a_later_rating_does_not_contradict_a_thumb_of_the_same_source() -> None:
    judged = judge(thumb(1, time_ms=1), rating(3, time_ms=2))

    assert (judged.value, judged.superseded) == (0.75, 0)


def test_a_record_is_superseded_only_when_all_that_it_says_is() -> None:
    both = UserFeedback(*about("both", "ann", 1), thumb=1, rating=5)

    judged = judge(both, thumb(-1, time_ms=2))

    assert judged.parts == RewardParts(thumb=0, rating=1)
    assert (judged.used, judged.superseded) == (2, 0)


def test_each_tool_is_a_source_of_its_own() -> None:
    judged = judge(tool("search", success=False), tool("search", success=True, time_ms=2), tool("shell", success=False))

    assert (judged.value, judged.superseded) == (0.5, 1)


def test_nothing_said_is_no_reward_unless_the_configuration_has_one() -> None:
    assert judge() == Reward(None, RewardParts(), 0, 0)
    assert judge(missing=0.3).value == 0.3


def test_parts_without_weight_are_reported_and_do_not_count() -> None:
    judged = reward([feedback_entry(thumb(1), 1)], TAKEN, {"rating": 1.0}, None)

    assert (judged.value, judged.parts.thumb, judged.used) == (None, 1.0, 1)


def test_the_order_of_arrival_cannot_be_seen_in_the_last_bit() -> None:
    rng = random.Random(1)
    said: list[Feedback] = [thumb(rng.choice([1, -1]), f"user-{i}", i) for i in range(7)]
    said += [rating(rng.randint(1, 5), f"user-{i}", i) for i in range(7)]
    said += [tool(f"tool-{i}", success=rng.random() < 0.3) for i in range(7)]
    expected = judge(*said)

    for _ in range(20):
        rng.shuffle(said)
        assert judge(*said) == expected


@pytest.mark.parametrize(
    ("corrected", "value"),
    [((2, 0, 1, 3), 1), ((2, 0, 1, 0), 0.75), ((2, 1, 0, 3), 0.5), ((2, 1, 0, 0), 0.25), ((1, 0, 1, 3), 0)],
)
def test_a_correction_comes_to_the_share_of_parts_that_it_leaves_and_to_nothing_for_another_first(
    corrected: tuple[int, ...], value: float
) -> None:
    entry = feedback_entry(correction(*corrected), 1)

    assert reward([entry], action_code((2, 0, 1, 3)), {"correction": 2.0}, None).value == value


@given(sizes=st.integers(1, 13).map(largest_sizes), data=st.data())
def test_the_store_tells_all_actions_apart_that_a_lineage_may_have(sizes: tuple[int, ...], data: st.DataObject) -> None:
    actions = st.tuples(*[st.integers(0, size - 1) for size in sizes])
    taken, corrected = data.draw(actions), data.draw(actions)
    right = sum(map(int.__eq__, taken, corrected))

    entry = feedback_entry(correction(*corrected), 1)

    expected = right / len(taken) if taken[0] == corrected[0] else 0
    assert reward([entry], action_code(taken), {"correction": 2.0}, None).value == expected
