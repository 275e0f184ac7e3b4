"""Logs as life writes them, and worse: disorder, copies, early, late and orphan feedback, quiet partitions."""

import heapq
import itertools
import random
import uuid
from collections.abc import Callable, Iterator
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
    Partition,
    Record,
    Tick,
    ToolFeedback,
    UserFeedback,
)

START_MS = 1_700_002_800_000 - 50_000  # not long before a full hour: limits by the hour see two of them
DECISIONS = [Partition("t.decisions.v1", number) for number in range(2)]
FEEDBACK = [Partition("t.feedback.user.v1", 0), Partition("t.feedback.user.v1", 1), Partition("t.feedback.tool.v1", 0)]
ACTIONS = 8
SOON_MS = 5_000  # so that feedback can come before its decision
PARTITIONS = [*DECISIONS, *FEEDBACK]
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
    """Records on their way to the broker, which puts each into its log at the time at which it arrives."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._numbers = itertools.count()
        self._coming: list[tuple[int, int, Partition, Record]] = []  # a heap; the number keeps the order of sending
        self.feedback_homes = list(FEEDBACK)  # the others are silent, but for ticks
        self.now_ms = START_MS

    def decide(self, decisions: int) -> None:
        """Decisions of soon, and what is said of them: in time, early, late, twice, contradicting, or nothing."""
        at = self.now_ms + SOON_MS
        for _ in range(decisions):
            at += self._rng.choice([0, 5, 50, 400, 3_000])
            self._decide(at)
            self._rogues(at)

    def tick(self, partition: Partition) -> None:
        """As the owner of a silent partition does."""
        self._send(partition, self.now_ms, Tick(self._rng.choice([None, self.now_ms])))

    def pass_time(self, by_ms: int) -> Iterator[tuple[Partition, int, Record]]:
        """What the broker gets meanwhile, with the time at which it gets it."""
        self.now_ms += by_ms
        while self._coming and self._coming[0][0] <= self.now_ms:
            arrival, _, partition, record = heapq.heappop(self._coming)
            yield partition, arrival, record

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
        feedback, home = new_feedback(rng, target, time), rng.choice(self.feedback_homes)
        arrival = time + rng.choice([0, 0, 0, 100, 2_500, 8_000, 40_000])
        self._send(home, arrival, feedback)
        if rng.random() < 0.2:
            # Perhaps another sender took the same id: which one counts may not depend on who is read first.
            if rng.random() < 0.5:
                feedback = replace(new_feedback(rng, target, time), feedback_id=feedback.feedback_id)
            again = rng.choice([home, *self.feedback_homes])
            self._send(again, arrival + rng.choice([0, 1, 1_000, 35_000, 70_000]), feedback)

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
        """What would have arrived before now arrives now: the broker's clock does not run back."""
        heapq.heappush(self._coming, (max(arrival, self.now_ms), next(self._numbers), partition, record))


def _id(rng: random.Random) -> DecisionId:
    return DecisionId(str(uuid.UUID(bytes=rng.randbytes(16))))
