"""The same records for everybody: decisions of 1.7 KB, one and a half feedback records each, in the order of time."""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ol0.records import (
    Arm,
    Decision,
    DecisionId,
    Digest,
    FeaturesDtype,
    ImplicitFeedback,
    ImplicitKind,
    Record,
    ToolFeedback,
    UserFeedback,
)

DIMENSION: Final = 384
EXPERTS: Final = 10
START_MS: Final = 1_790_000_000_000
STEP_MS: Final = 100
SESSION: Final = 3
SHARES: Final = {"feedback.user": 0.7, "feedback.tool": 0.5, "feedback.implicit": 0.3}
SOURCES: Final = ("decisions", *SHARES)
LATEST_FEEDBACK_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class Sent:
    """A record, the topic that it belongs to, and when it is sent."""

    topic: str
    time_ms: int
    record: Record


def _decision(number: int, time_ms: int, rng: random.Random, features: NDArray[np.float32]) -> Decision:
    """Decision ``number``; every second one is made while a candidate is on trial."""
    staged = number % 2 == 1
    greedy = (rng.randrange(EXPERTS),)
    return Decision(
        decision_id=DecisionId(str(uuid.UUID(int=rng.getrandbits(128), version=4))),
        session_id=f"session-{number // SESSION:06d}",
        turn=number % SESSION,
        user=f"{number % 5_000:016x}",
        time_ms=time_ms,
        digest=Digest("b" * 64),
        arm=Arm.LIVE,
        staged=Digest("c" * 64) if staged else None,
        serving_sequence=300,
        features=features.astype("<f4").tobytes(),
        features_dtype=FeaturesDtype.FLOAT32,
        action=greedy,
        propensity=(0.91,),
        greedy_base=greedy if staged else None,
        greedy_live=greedy if staged else None,
        greedy_staged=greedy if staged else None,
        group="code",
    )


def decisions(count: int, seed: int = 0, start_ms: int = START_MS) -> list[Decision]:
    """Decisions, one every 100 ms of event time."""
    rng = random.Random(seed)
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return [_decision(number, start_ms + number * STEP_MS, rng, vectors[number]) for number in range(count)]


def feedback(decision: Decision, rng: random.Random) -> Iterator[Sent]:
    """What is said of a decision, within five minutes."""
    for topic, share in SHARES.items():
        if rng.random() >= share:
            continue
        time_ms = decision.time_ms + rng.randrange(LATEST_FEEDBACK_MS)
        common = (f"f-{rng.getrandbits(64):016x}", decision.decision_id, decision.session_id)
        record: Record
        match topic:
            case "feedback.user":
                record = UserFeedback(*common, decision.user or "nobody", time_ms, thumb=rng.choice((-1, 1)))
            case "feedback.tool":
                record = ToolFeedback(*common, "runner", time_ms, "pytest", rng.random() < 0.5, 12.5)
            case _:
                record = ImplicitFeedback(*common, "editor", time_ms, ImplicitKind.COPY, rng.random())
        yield Sent(topic, time_ms, record)


def traffic(count: int, seed: int = 0, start_ms: int = START_MS) -> list[Sent]:
    """``count`` decisions and everything that is said of them, by time."""
    rng = random.Random(seed + 1)
    sent = []
    for decision in decisions(count, seed, start_ms):
        sent.append(Sent("decisions", decision.time_ms, decision))
        sent += feedback(decision, rng)
    return sorted(sent, key=lambda one: one.time_ms)
