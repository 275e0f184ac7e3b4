"""A host application on the wall clock, and not a tidy one: disorder, copies, early, late and orphan feedback."""

import heapq
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from ol0.clock import wall_clock_ms
from ol0.config import Settings
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.record_sender import RecordSender
from ol0.records import (
    Arm,
    Decision,
    DecisionId,
    Digest,
    FeaturesDtype,
    Feedback,
    ImplicitFeedback,
    ImplicitKind,
    ToolFeedback,
    UserFeedback,
)
from testbed.worlds import EXPERTS, KIND_COUNT

USERS = (None, "ann", "bob", "cem")
SENT_WITHIN_S = 120.0


@dataclass(order=True)
class Due:
    """A record that is to be sent at a time. ``place``: topic and partition where not its key chooses."""

    at_ms: int
    number: int
    record: Decision | Feedback
    place: tuple[str, int] | None


class Traffic:
    """Decisions and what is said of them. Nothing is sent but by ``send_due``.

    Attributes:
        decisions: that were sent, copies included.
        feedback: the same of feedback.
        ahead_ms: how far this host's clock is ahead; what it sends comes when it comes all the same.
    """

    def __init__(self, settings: Settings, seed: int) -> None:
        self._rng = random.Random(seed)
        lineage = Lineage.of(settings.kafka)
        self._topics = lineage.topics
        self._sender = RecordSender(lineage, full_wait_s=SENT_WITHIN_S)
        self._window_ms = round(1000 * settings.streaming.reward_window_s)
        self._lateness_ms = round(1000 * settings.streaming.allowed_lateness_s)
        self._skew_ms = round(1000 * settings.streaming.early_skew_s)
        self._numbers = count()
        self._due: list[Due] = []
        self.decisions = self.feedback = 0
        self.ahead_ms = 0

    @property
    def pending(self) -> int:
        """Records that the broker has not acknowledged."""
        return self._sender.pending

    @property
    def waiting(self) -> int:
        """Records whose time has not come."""
        return len(self._due)

    def decide(self, decisions: int) -> None:
        """Makes decisions of this moment, and everything that will be said of them."""
        now_ms = wall_clock_ms()
        for _ in range(decisions):
            self._decide(now_ms)
            self._rogue(now_ms)

    def send_due(self) -> None:
        """Sends everything whose time has come, and takes in what was acknowledged, also where nothing has."""
        self._sender.poll()
        now_ms = wall_clock_ms()
        while self._due and self._due[0].at_ms <= now_ms:
            due = heapq.heappop(self._due)
            self._count(due.record)
            if due.place is None:
                self._sender.send(due.record)
            else:
                self._sender.send_to(due.record, *due.place)

    def flush(self) -> None:
        """Waits until the broker has everything that was sent; nothing may have been given up."""
        self._sender.flush(SENT_WITHIN_S)
        account = self._sender.deliveries
        assert (self._sender.pending, account.failed, account.dropped) == (0, 0, 0), account

    def _decide(self, now_ms: int) -> None:
        rng, lateness = self._rng, self._lateness_ms
        too_late = self._window_ms + 2 * lateness if rng.random() < 0.01 else 0
        ahead_ms = self.ahead_ms
        time_ms = now_ms + ahead_ms - rng.choice([0, 0, 0, lateness // 4, lateness, too_late])
        decision = self._decision(time_ms)
        self._plan(now_ms, decision)
        if rng.random() < 0.05:
            self._plan(now_ms + rng.choice([1, self._window_ms // 2]), decision, copy=True)
        for _ in range(rng.choice([0, 1, 1, 2])):
            self._say(decision.decision_id, time_ms, ahead_ms)

    def _say(self, target: DecisionId, decided_ms: int, ahead_ms: int) -> None:
        rng, window = self._rng, self._window_ms
        time_ms = decided_ms + rng.choice([-2 * self._skew_ms, 0, 1, window // 8, window // 3, window - 1, window])
        feedback = self._feedback_about(target, time_ms)
        arrival_ms = time_ms - ahead_ms + rng.choice([0, 0, 0, self._lateness_ms // 2, self._window_ms])
        self._plan(arrival_ms, feedback)
        if rng.random() < 0.05:
            self._plan(arrival_ms + rng.choice([0, self._window_ms // 2]), feedback, copy=True)

    def _rogue(self, now_ms: int) -> None:
        """Feedback about nothing."""
        if self._rng.random() < 0.01:
            self._plan(now_ms, self._feedback_about(self._id(), now_ms))

    def _plan(self, at_ms: int, record: Decision | Feedback, *, copy: bool = False) -> None:
        """A copy may go to any partition of its topic."""
        place = None
        if copy and self._rng.random() < 0.5:
            topic = self._topics.route(record).topic
            place = topic, self._rng.randrange(self._topics.spec(self._topics.logical(topic)).partitions)
        heapq.heappush(self._due, Due(at_ms, next(self._numbers), record, place))

    def _decision(self, time_ms: int) -> Decision:
        rng = self._rng
        return replace(
            TEMPLATE,
            decision_id=self._id(),
            session_id=f"session-{rng.randrange(1000)}",
            user=rng.choice(USERS),
            time_ms=time_ms,
            features=FEATURES[rng.randrange(len(FEATURES))],
            action=(rng.randrange(EXPERTS),),
        )

    def _feedback_about(self, target: DecisionId, time_ms: int) -> Feedback:
        rng = self._rng
        name, session = f"feedback-{rng.getrandbits(64):x}", f"session-{rng.randrange(1000)}"
        about = (name, target, session, f"source-{rng.randrange(2)}", time_ms)
        kinds: list[Callable[[], Feedback]] = [
            lambda: UserFeedback(*about, thumb=rng.choice([1, -1])),
            lambda: UserFeedback(*about, rating=rng.randint(1, 5), thumb=rng.choice([None, 1])),
            lambda: UserFeedback(*about, correction=(rng.randrange(EXPERTS),)),
            lambda: ToolFeedback(*about, tool=rng.choice(["search", "shell"]), success=rng.random() < 0.5),
            lambda: ImplicitFeedback(*about, kind=rng.choice(list(ImplicitKind)), strength=rng.random()),
        ]
        return rng.choice(kinds)()

    def _id(self) -> DecisionId:
        return DecisionId(str(uuid.UUID(int=self._rng.getrandbits(128))))

    def _count(self, record: Decision | Feedback) -> None:
        if isinstance(record, Decision):
            self.decisions += 1
        else:
            self.feedback += 1


FEATURES = [row.tobytes() for row in np.random.default_rng(0).normal(size=(64, KIND_COUNT)).astype("<f4")]
TEMPLATE = Decision(
    decision_id=DecisionId("00000000-0000-0000-0000-000000000000"),
    session_id="session",
    turn=0,
    user=None,
    time_ms=1_700_000_000_000,
    digest=Digest("0" * 64),
    arm=Arm.LIVE,
    staged=None,
    serving_sequence=0,
    features=FEATURES[0],
    features_dtype=FeaturesDtype.FLOAT32,
    action=(0,),
    propensity=(0.25,),
)
