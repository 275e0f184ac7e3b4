import re
from dataclasses import replace

import numpy as np
import pytest

from examples import (
    CANDIDATE,
    DECISION,
    EXAMPLES,
    IMPLICIT_FEEDBACK,
    OUTCOME,
    SERVING_STATE,
    TOOL_FEEDBACK,
    USER_FEEDBACK,
)
from ol0.errors import RangeError
from ol0.records import DecisionId, FeaturesDtype, Record, RewardParts, Snapshot, Staged, Tick
from ol0.streaming.validation import MAX_HEADS_BYTES, validate

NAN, INF = float("nan"), float("inf")


def floats(*values: float, dtype: str = "<f4") -> bytes:
    return np.array(values, dtype).tobytes()


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_right_records_pass(record: Record) -> None:
    validate(record)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (replace(USER_FEEDBACK, thumb=0), "thumb: 0; +1 or -1"),
        (replace(USER_FEEDBACK, rating=0), "rating: 0; 1 to 5"),
        (replace(USER_FEEDBACK, rating=6), "rating: 6; 1 to 5"),
        (replace(USER_FEEDBACK, correction=()), "correction: empty"),
        (replace(USER_FEEDBACK, correction=(1, -1)), "action: (1, -1)"),
        (replace(USER_FEEDBACK, thumb=None, rating=None, correction=None), "are all missing"),
        (replace(USER_FEEDBACK, feedback_id=""), "feedback_id: 0 characters"),
        (replace(USER_FEEDBACK, feedback_id="x" * 201), "feedback_id: 201 characters"),
        (replace(USER_FEEDBACK, decision_id=DecisionId(DECISION.decision_id.upper())), "lower case"),
        (replace(USER_FEEDBACK, decision_id=DecisionId(DECISION.decision_id + "\n")), "decision_id"),
        (replace(USER_FEEDBACK, time_ms=0), "time_ms: 0"),
        (replace(TOOL_FEEDBACK, latency_ms=NAN), "latency_ms: nan"),
        (replace(TOOL_FEEDBACK, latency_ms=-1.0), "latency_ms: -1.0"),
        (replace(IMPLICIT_FEEDBACK, strength=1.01), "strength: 1.01"),
        (replace(IMPLICIT_FEEDBACK, strength=NAN), "strength: nan"),
        (replace(DECISION, decision_id=DecisionId("1")), "decision_id: '1'"),
        (replace(DECISION, time_ms=-5), "time_ms: -5"),
        (replace(DECISION, action=(), propensity=()), "propensity: 0 for an action of 0 parts"),
        (replace(DECISION, propensity=(0.5,)), "propensity: 1 for an action of 2 parts"),
        (replace(DECISION, propensity=(0.5, 0.0)), "propensity: 0.0"),
        (replace(DECISION, propensity=(0.5, 1.5)), "propensity: 1.5"),
        (replace(DECISION, propensity=(0.5, NAN)), "propensity: nan"),
        (replace(DECISION, action=(-1, 0)), "action: (-1, 0)"),
        (replace(DECISION, greedy_live=(1,)), "action: (1,)"),
        (replace(DECISION, features=b""), "features: 0 bytes"),
        (replace(DECISION, features=b"abcde"), "features: 5 bytes are no vector of float32"),
        (replace(DECISION, features=floats(1, NAN, 2)), "features: number 1 is not finite"),
        (replace(DECISION, features=floats(1, 2, -INF)), "features: number 2 is not finite"),
        (replace(DECISION, features=floats(3e30, INF)), "features: number 1 is not finite"),
        (
            replace(DECISION, features=floats(NAN, 1, dtype="<f2"), features_dtype=FeaturesDtype.FLOAT16),
            "features: number 0 is not finite",
        ),
        (replace(OUTCOME, reward=1.5), "reward and its parts: 1.5"),
        (replace(OUTCOME, parts=RewardParts(thumb=NAN)), "reward and its parts: nan"),
        (replace(OUTCOME, propensity=(2.0, 0.5)), "propensity: 2.0"),
        (replace(CANDIDATE, heads=bytes(MAX_HEADS_BYTES + 1)), "heads: 921601 bytes"),
        (replace(SERVING_STATE, staged=Staged(SERVING_STATE.live, 1.5, 1)), "staged.share: 1.5"),
        (Tick(0), "time_ms: 0"),
        (Snapshot("x", -1, b""), "time_ms: -1"),
    ],
)
def test_values_that_may_not_be_are_refused_by_name(record: Record, reason: str) -> None:
    with pytest.raises(RangeError, match=re.escape(reason)):
        validate(record)


def test_large_features_are_finite_even_where_their_squares_are_not() -> None:
    validate(replace(DECISION, features=floats(3e38, -3e38)))
    validate(replace(DECISION, features=floats(65504, 1, dtype="<f2"), features_dtype=FeaturesDtype.FLOAT16))


def test_one_sign_of_the_user_is_enough() -> None:
    silent = replace(USER_FEEDBACK, thumb=None, rating=None, correction=None)
    for record in (replace(silent, thumb=-1), replace(silent, rating=1), replace(silent, correction=(0,))):
        validate(record)
