from dataclasses import replace

import numpy as np
import pytest

from ol0.config import StreamingConfig
from ol0.errors import RangeError
from ol0.feedback.handler import FUTURE_MS, Closing, FeedbackHandler
from ol0.feedback.outbox import unpack_messages
from ol0.kafka.ports import SourceRecord
from ol0.records import (
    Arm,
    Decision,
    DecisionId,
    Digest,
    FeaturesDtype,
    ImplicitFeedback,
    ImplicitKind,
    Outcome,
    Record,
    RewardParts,
    Tick,
    UserFeedback,
    Verdict,
)
from ol0.replay.layout import FeedbackEntry, decision_key, user_key
from ol0.replay.protocol import Arrivals, DueWindow
from ol0.wire.codec import Codec
from ol0.wire.payloads import Payloads
from support.feedback_entries import feedback_entry

WALL = StreamingConfig(reward_window_s=10, allowed_lateness_s=2, early_skew_s=1)
TICKS = WALL.model_copy(update={"clock": "ticks"})
NOW = 1_700_000_000_000
CODEC = Codec()
PAYLOADS = Payloads(CODEC)

DECISION = Decision(
    decision_id=DecisionId("00000000-0000-0000-0000-000000000001"),
    session_id="session",
    turn=2,
    user="pseudonym",
    time_ms=NOW,
    digest=Digest("a" * 64),
    arm=Arm.STAGED,
    staged=Digest("b" * 64),
    serving_sequence=7,
    features=np.arange(3, dtype="<f4").tobytes(),
    features_dtype=FeaturesDtype.FLOAT32,
    action=(1, 0),
    propensity=(0.9, 0.95),
    greedy_base=(1, 0),
    greedy_live=(0, 0),
    greedy_staged=(1, 1),
    group="kind",
)
THUMB = UserFeedback("thumb", DECISION.decision_id, "session", "ann", NOW + 1, thumb=1)


def handler(config: StreamingConfig = WALL) -> FeedbackHandler:
    return FeedbackHandler(config, 3, (4, 2), PAYLOADS)


PAYLOAD = PAYLOADS.pack(DECISION, user_key(DECISION.user))


def outcome_of(closing: Closing) -> Outcome:
    """The one that was made."""
    (window,) = closing.windows
    ((key, value),) = unpack_messages(window.outcome)
    assert key == b"session"
    outcome = CODEC.decode_valid(Outcome, value)
    assert isinstance(outcome, Outcome)
    assert outcome.reward == window.reward
    return outcome


def take(*records: Record, watermark_ms: int = 0, append_ms: int = NOW, config: StreamingConfig = WALL) -> Arrivals:
    return handler(config).arrivals(
        watermark_ms, [SourceRecord(i, append_ms, record) for i, record in enumerate(records)]
    )


def entries(arrivals: Arrivals) -> list[FeedbackEntry]:
    return list(FeedbackEntry.unpack_pile(arrivals.feedback))


def window(*said: FeedbackEntry, deadline_ms: int = NOW + 10_000) -> DueWindow:
    return DueWindow(b"k" * 16, deadline_ms, PAYLOAD, b"".join(entry.pack() for entry in said))


def test_a_decision_becomes_a_window_until_the_end_of_its_reward_window() -> None:
    arrivals = take(DECISION)

    assert arrivals.decision_keys == decision_key(DECISION.decision_id)
    assert arrivals.deadlines == str(NOW + 10_000)
    assert arrivals.payloads == [PAYLOAD]
    assert arrivals.counts == {"decisions": 1}


def test_the_watermark_is_the_largest_time_less_the_lateness() -> None:
    records = [replace(DECISION, time_ms=NOW + shift) for shift in (-50, -10, -40)]

    assert take(*records).watermark_ms == NOW - 10 - 2_000


def test_the_watermark_never_goes_back() -> None:
    assert take(DECISION, watermark_ms=NOW).watermark_ms == NOW
    assert take(watermark_ms=NOW).watermark_ms == NOW


def test_the_brokers_clock_caps_what_a_record_says_of_time() -> None:
    future = replace(DECISION, time_ms=NOW + 5_000)

    assert take(future).watermark_ms == NOW - 2_000
    assert take(future, config=TICKS).watermark_ms == NOW + 3_000


def test_a_tick_without_a_time_carries_the_brokers_where_time_is_the_walls() -> None:
    assert take(Tick()).watermark_ms == NOW - 2_000
    assert take(Tick(NOW - 7)).watermark_ms == NOW - 7 - 2_000
    assert take(Tick(), config=TICKS).watermark_ms == 0
    assert take(Tick(5 * NOW), config=TICKS).watermark_ms == 5 * NOW - 2_000


def test_a_broker_whose_clock_is_ahead_moves_no_time_alone() -> None:
    ahead = [SourceRecord(0, NOW + 3_000_000, Tick(NOW)), SourceRecord(1, NOW + 3_000_000, DECISION)]

    assert handler().arrivals(0, ahead).watermark_ms == NOW - 2_000


def test_where_the_writers_clock_stands_in_the_log_a_record_counts_and_moves_no_time() -> None:
    ahead = replace(DECISION, time_ms=NOW + 3_000_000)
    records = [SourceRecord(0, NOW + 3_000_000, record, None, is_stamped=False) for record in (Tick(), ahead, DECISION)]

    arrivals = handler().arrivals(NOW, records)

    assert (arrivals.watermark_ms, len(arrivals.payloads)) == (NOW, 2)
    assert handler(TICKS).arrivals(NOW, records).watermark_ms == NOW + 3_000_000 - 2_000, "no clock of Kafka's matters"


@pytest.mark.parametrize(("watermark_ms", "late"), [(NOW + 9_999, False), (NOW + 10_000, True)])
def test_a_decision_is_late_once_its_partition_has_passed_its_window(watermark_ms: int, late: bool) -> None:  # noqa: FBT001
    arrivals = take(DECISION, watermark_ms=watermark_ms)

    assert arrivals.counts == {"decisions": 1} | ({"decisions_late": 1} if late else {})
    assert len(arrivals.payloads) == (not late)


def test_a_record_is_judged_by_what_its_partition_had_seen_before_it() -> None:
    old = replace(DECISION, time_ms=NOW - 11_000)

    assert take(old, Tick(NOW)).counts == {"decisions": 1}
    assert take(Tick(NOW), replace(old, time_ms=NOW - 12_000)).counts == {"decisions": 1, "decisions_late": 1}


def test_feedback_counts_from_its_own_time_or_from_the_watermark() -> None:
    assert entries(take(THUMB))[0].effective_ms == NOW + 1
    late = entries(take(THUMB, watermark_ms=NOW + 500))[0]
    assert (late.time_ms, late.effective_ms) == (NOW + 1, NOW + 500)


@pytest.mark.parametrize(("watermark_ms", "late"), [(NOW + 11_000, False), (NOW + 11_001, True)])
def test_feedback_that_no_open_window_can_use_is_not_even_kept(watermark_ms: int, late: bool) -> None:  # noqa: FBT001
    arrivals = take(THUMB, watermark_ms=watermark_ms)

    assert arrivals.counts == {"feedback": 1} | ({"feedback_late": 1} if late else {})
    assert len(arrivals.targets) == 16 * (not late)


def test_records_from_the_future_are_dropped_where_the_wall_clock_counts() -> None:
    ahead = replace(DECISION, time_ms=NOW + FUTURE_MS + 1), replace(THUMB, time_ms=NOW + FUTURE_MS + 1)

    dropped = {"decisions": 1, "decisions_future": 1, "feedback": 1, "feedback_future": 1}
    assert take(*ahead).counts == dropped
    assert take(ahead[0], config=TICKS).counts == {"decisions": 1}


def test_an_outcome_carries_what_the_decision_said_and_what_the_feedback_came_to() -> None:
    closing = handler().close([window(feedback_entry(THUMB, NOW + 1))], 12)

    outcome = outcome_of(closing)
    assert (outcome.sequence, outcome.window_end_ms, outcome.reward) == (12, NOW + 10_000, 1.0)
    assert outcome.parts == RewardParts(thumb=1.0)
    assert closing.counts == {"feedback_used": 1, "feedback_superseded": 0}
    same = {name for name in DECISION.__slots__ if hasattr(outcome, name)}
    assert same == set(DECISION.__slots__) - {"turn", "features", "features_dtype"}
    assert all(getattr(outcome, name) == getattr(DECISION, name) for name in same)


@pytest.mark.parametrize(
    ("time_ms", "effective_ms", "fate"),
    [
        (NOW - 1_000, NOW - 1_000, "used"),
        (NOW - 1_001, NOW, "early"),
        (NOW, NOW + 9_999, "used"),
        (NOW, NOW + 10_000, "late"),
        (NOW + 10_000, NOW + 10_000, "late"),
    ],
)
def test_feedback_belongs_from_the_decision_less_the_skew_to_the_end_of_the_window(
    time_ms: int, effective_ms: int, fate: str
) -> None:
    entry = feedback_entry(replace(THUMB, time_ms=time_ms), effective_ms)

    closing = handler().close([window(entry)], 0)

    assert closing.counts[f"feedback_{fate}"] == 1
    assert sum(closing.counts.values()) == 1
    assert (outcome_of(closing).reward is None) == (fate != "used")


def test_a_window_without_feedback_has_no_reward_unless_the_configuration_has_one() -> None:
    default = handler(WALL.model_copy(update={"missing_reward": 0.0}))

    rewards = [outcome_of(it.close([window()], 0)).reward for it in (handler(), default)]

    assert rewards == [None, 0.0]


def test_a_forgotten_users_decision_is_dropped_when_it_arrives_and_when_its_window_closes() -> None:
    made = handler()
    assert not made.is_forgotten(PAYLOAD)

    made.forget(["pseudonym"])

    arrivals = made.arrivals(0, [SourceRecord(0, NOW, DECISION), SourceRecord(1, NOW, replace(DECISION, user="other"))])
    assert arrivals.counts == {"decisions": 2, "decisions_forgotten": 1}
    assert len(arrivals.payloads) == 1
    closing = made.close([window()], 0)
    assert (closing.windows, closing.forgotten) == ([], [window().field])
    assert made.is_forgotten(PAYLOAD)


def test_outcomes_are_numbered_without_holes_whatever_was_published_before() -> None:
    windows = [window(), window()._replace(published=True), window()]

    closing = handler().close(windows, 7)

    assert [bool(it.outcome) for it in closing.windows] == [True, False, True]
    numbers = [outcome_of(replace(closing, windows=[it])).sequence for it in closing.windows if it.outcome]
    assert numbers == [7, 8]


def test_a_decision_without_a_user_is_nobodys_to_forget() -> None:
    made = handler()
    made.forget(["pseudonym"])

    assert len(made.arrivals(0, [SourceRecord(0, NOW, replace(DECISION, user=None))]).payloads) == 1


@pytest.mark.parametrize(("strength", "weak"), [(0.29, True), (0.3, False)])
def test_an_implicit_sign_below_the_least_confidence_counts_for_nothing(strength: float, weak: bool) -> None:  # noqa: FBT001
    sign = ImplicitFeedback("sign", DECISION.decision_id, "session", "editor", NOW, ImplicitKind.COPY, strength)

    arrivals = take(sign, THUMB, config=WALL.model_copy(update={"min_confidence": 0.3}))

    assert arrivals.counts == {"feedback": 2} | ({"feedback_weak": 1} if weak else {})
    assert len(entries(arrivals)) == 2 - weak


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (replace(DECISION, features=b"\0" * 8), "8 bytes of float32 are not the 3 features"),
        (replace(DECISION, features=b"\0" * 13), "13 bytes"),
        (replace(DECISION, features_dtype=FeaturesDtype.FLOAT16), "12 bytes of float16"),
        (replace(DECISION, action=(1,)), "2 parts"),
        (replace(DECISION, action=(4, 0)), r"of \(4, 2\) choices"),
        (replace(DECISION, action=(-1, 0)), r"of \(4, 2\) choices"),
        (replace(THUMB, correction=(1,)), "correction"),
        (replace(THUMB, correction=(0, 2)), "correction"),
        (replace(THUMB, time_ms=-1), "time -1"),
        (replace(DECISION, time_ms=10**13 - 10_000), "time 9999999990000"),
        (Tick(10**13), "time"),
    ],
)
def test_a_record_that_does_not_fit_the_lineage_is_refused(record: Record, message: str) -> None:
    with pytest.raises(RangeError, match=message):
        handler().check(record)


def test_a_record_of_another_topic_is_refused() -> None:
    with pytest.raises(RangeError, match="a Verdict among decisions"):
        handler().check(Verdict.__new__(Verdict))


@pytest.mark.parametrize(
    "record",
    [
        DECISION,
        replace(DECISION, features=b"\0" * 6, features_dtype=FeaturesDtype.FLOAT16),
        THUMB,
        replace(THUMB, correction=(3, 1)),
        Tick(),
        Tick(NOW),
    ],
)
def test_a_record_that_fits_passes(record: Record) -> None:
    handler().check(record)


def test_a_window_whose_outcome_no_topic_would_take_makes_none() -> None:
    """As an older version let it in."""
    hostile = replace(DECISION, session_id="x" * 600_000, group="x" * 600_000)
    payload = PAYLOADS.pack(hostile, user_key(None), CODEC.encode_valid(hostile))

    closing = handler().close([window()._replace(head=payload), window()], 7)

    assert closing.oversized == [window().field]
    assert [one.decision_key for one in closing.windows] == [window().decision_key]
