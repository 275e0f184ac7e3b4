"""Logs as life writes them, and worse: disorder, copies, early, late and orphan feedback, quiet partitions."""

import random
import uuid
from collections.abc import Callable
from dataclasses import replace

from ol0.records import (
    Arm,
    Decision,
    DecisionId,
    Digest,
    FeaturesDtype,
    Feedback,
    ImplicitFeedback,
    ImplicitKind,
    Record,
    Tick,
    ToolFeedback,
    UserFeedback,
)
from ol0.streaming.sink import Partition, SourceRecord

START_MS = 1_700_002_800_000 - 50_000  # not long before a full hour: limits by the hour see two of them
DECISIONS = [Partition("t.decisions.v1", number) for number in range(2)]
FEEDBACK = [Partition("t.feedback.user.v1", 0), Partition("t.feedback.user.v1", 1), Partition("t.feedback.tool.v1", 0)]
ACTIONS = 8
USERS = (None, "ann", "bob", "cem")


def new_decision(rng: random.Random, time_ms: int) -> Decision:
    return Decision(
        decision_id=_id(rng),
        session_id=f"session-{rng.randrange(20)}",
        turn=0,
        user=rng.choice(USERS),
        time_ms=time_ms,
        digest=Digest("0" * 64),
        arm=Arm.LIVE,
        staged=None,
        serving_sequence=0,
        features=rng.randbytes(rng.choice([8, 16])),
        features_dtype=FeaturesDtype.FLOAT32,
        action=(rng.randrange(ACTIONS),),
        propensity=(0.25,),
    )


def new_feedback(rng: random.Random, target: DecisionId, time_ms: int) -> Feedback:
    about = (f"feedback-{rng.getrandbits(64):x}", target, "session", f"source-{rng.randrange(2)}", time_ms)
    kinds: list[Callable[[], Feedback]] = [
        lambda: UserFeedback(*about, thumb=rng.choice([1, -1])),
        lambda: UserFeedback(*about, rating=rng.randint(1, 5), thumb=rng.choice([None, 1])),
        lambda: UserFeedback(*about, correction=(rng.randrange(ACTIONS),)),
        lambda: ToolFeedback(*about, tool=rng.choice(["search", "shell"]), success=rng.random() < 0.5),
        lambda: ImplicitFeedback(*about, kind=rng.choice(list(ImplicitKind)), strength=rng.random()),
    ]
    return rng.choice(kinds)()


class Traffic:
    """Records by the time at which the broker gets them; ``logs`` puts them in that order."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._arrivals: dict[Partition, list[tuple[int, Record]]] = {p: [] for p in (*DECISIONS, *FEEDBACK)}

    def run(self, decisions: int, drain_ms: int) -> dict[Partition, list[SourceRecord]]:
        """``drain_ms``: how long ticks go on after the last decision."""
        rng, now = self._rng, START_MS
        for _ in range(decisions):
            now += rng.choice([0, 5, 50, 400, 3_000])
            self._decide(now)
            self._rogues(now)
        if rng.random() < 0.6:
            quiet = rng.choice(FEEDBACK)
            self._arrivals[quiet] = [item for item in self._arrivals[quiet] if item[0] < (now + START_MS) // 2]
        return {partition: self._log(items, now + drain_ms) for partition, items in self._arrivals.items()}

    def _decide(self, now: int) -> None:
        rng = self._rng
        time = now + rng.choice([0, 0, 0, -1_500, -500, -4_000, -33_000 if rng.random() < 0.1 else 0])
        decision = new_decision(rng, time)
        home = rng.choice(DECISIONS)
        self._send(home, now, decision)
        if rng.random() < 0.15:
            self._send(rng.choice([home, *DECISIONS]), now + rng.choice([1, 500, 20_000, 40_000]), decision)
        for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
            said = time + rng.choice([-900, -1_100, -2_000, 0, 10, 3_000, 15_000, 29_999, 30_000, 30_001, 45_000])
            self._say(decision.decision_id, said + rng.choice([0, 0, rng.randrange(2_000)]))

    def _say(self, target: DecisionId, time: int) -> None:
        rng = self._rng
        feedback, home = new_feedback(rng, target, time), rng.choice(FEEDBACK)
        arrival = time + rng.choice([0, 0, 0, 100, 2_500, 8_000, 40_000])
        self._send(home, arrival, feedback)
        if rng.random() < 0.2:
            if (
                rng.random() < 0.5
            ):  # another sender took the same id: which one counts may not depend on who is read first
                feedback = replace(new_feedback(rng, target, time), feedback_id=feedback.feedback_id)
            self._send(rng.choice([home, *FEEDBACK]), arrival + rng.choice([0, 1, 1_000, 35_000, 70_000]), feedback)

    def _rogues(self, now: int) -> None:
        """Feedback without a decision, and records from a future far away."""
        rng = self._rng
        if rng.random() < 0.05:
            self._send(rng.choice(FEEDBACK), now, new_feedback(rng, _id(rng), now))
        if rng.random() < 0.02:
            self._send(rng.choice(FEEDBACK), now, new_feedback(rng, _id(rng), now + 10**9))
        if rng.random() < 0.02:
            self._send(rng.choice(DECISIONS), now, new_decision(rng, now + 10**9))

    def _send(self, partition: Partition, arrival: int, record: Record) -> None:
        self._arrivals[partition].append((arrival, record))

    def _log(self, items: list[tuple[int, Record]], end: int) -> list[SourceRecord]:
        rng = self._rng
        ticks = [(now, Tick(rng.choice([None, now]))) for now in range(START_MS, end, 20_000)]
        log, offset = [], rng.randrange(3)
        for arrival, record in sorted([*items, *ticks], key=lambda item: item[0]):
            log.append(SourceRecord(offset, arrival, record))
            offset += rng.choice([1, 1, 1, 2])  # transaction markers take offsets too
        return log


def _id(rng: random.Random) -> DecisionId:
    return DecisionId(str(uuid.UUID(bytes=rng.randbytes(16))))
