"""What the store keeps of a decision, against the codec: the same outcome, byte for byte, without decoding."""

import string
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ol0.errors import ContractError
from ol0.records import Arm, Decision, DecisionId, Digest, FeaturesDtype, Outcome, RewardParts
from ol0.wire.codec import Codec
from ol0.wire.payloads import HEAD, Payloads, action_code
from ol0.wire.validation import EARLIEST_MS, LATEST_MS
from support.examples import DECISION

CODEC = Codec()
PAYLOADS = Payloads(CODEC)
USER = b"userkey8"

texts = st.text(max_size=9) | st.sampled_from(["", "é" * 40, "x" * 63, "x" * 64, "é" * 128])
digests = st.text(string.hexdigits[:16], min_size=64, max_size=64).map(Digest)
times = st.integers(EARLIEST_MS, LATEST_MS)
actions = st.lists(st.integers(0, 2**20), min_size=2, max_size=2).map(tuple)
shares = st.none() | st.floats(0, 1)
decisions = st.builds(
    Decision,
    decision_id=st.uuids().map(str).map(DecisionId),
    session_id=texts,
    user=st.none() | texts,
    time_ms=times,
    digest=digests,
    arm=st.sampled_from(Arm),
    staged=st.none() | digests,
    serving_sequence=st.integers(0, 10**6),
    action=actions,
    propensity=st.lists(st.floats(0.001, 1), min_size=2, max_size=2).map(tuple),
    greedy_base=st.none() | actions,
    greedy_live=st.none() | actions,
    greedy_staged=st.none() | actions,
    group=st.none() | texts,
    turn=st.integers(0, 10**5),
    features_dtype=st.sampled_from(FeaturesDtype),
    features=st.binary(max_size=90),
)


@given(decision=decisions)
def test_a_payload_is_the_bytes_of_the_log_behind_a_head(decision: Decision) -> None:
    logged = CODEC.encode_valid(decision)

    payload = PAYLOADS.pack(decision, USER, logged)

    assert payload[HEAD.size :] == logged
    assert payload == PAYLOADS.pack(decision, USER)
    assert PAYLOADS.unpack(payload) == decision


@given(
    decision=decisions,
    sequence=st.integers(0, 10**9),
    reward=shares,
    parts=st.builds(RewardParts, shares, shares, shares, shares, shares),
    end_ms=times,
)
def test_the_head_alone_makes_the_outcome_that_the_codec_would_write(
    decision: Decision, sequence: int, reward: float | None, parts: RewardParts, end_ms: int
) -> None:
    payload = PAYLOADS.pack(decision, USER)
    (head_bytes, *_) = HEAD.unpack_from(payload)
    kept = asdict(decision)
    same = {field.name: kept[field.name] for field in fields(Outcome) if field.name in kept}
    outcome = Outcome(**same, sequence=sequence, reward=reward, parts=parts, window_end_ms=end_ms)

    head = PAYLOADS.head(payload[:head_bytes])

    assert PAYLOADS.outcome(head, sequence, reward, parts, end_ms) == CODEC.encode_valid(outcome)
    assert head == PAYLOADS.head(payload)
    known = (head.session.decode(), head.time_ms, head.taken, head.user)
    assert known == (decision.session_id, decision.time_ms, action_code(decision.action), USER)


def test_the_head_leaves_the_features_out() -> None:
    small, large = (PAYLOADS.pack(replace(DECISION, features=bytes(size)), USER) for size in (4, 4_000))

    assert HEAD.unpack_from(small) == HEAD.unpack_from(large)


def test_bytes_without_a_head_say_that_the_store_is_damaged() -> None:
    with pytest.raises(ContractError, match=r"no head.*ol0 replay rebuild"):
        PAYLOADS.head(b"short")
