"""Canary, drift, release and the SDK's view of one lineage, without a broker: whatever one says, the others hear."""

import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ol0.canary.handler import CanaryGate
from ol0.config import SafetyConfig
from ol0.controller.arms import ArmPicker
from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.signing import Keyring
from ol0.controller.suite import read_suite
from ol0.drift.handler import DriftMonitor
from ol0.errors import CheckpointError, SignatureError
from ol0.operator.setup.prompts import Prompts
from ol0.records import (
    Arm,
    DecisionId,
    Digest,
    Outcome,
    Record,
    RewardParts,
    ServingState,
    Transition,
    Verdict,
)
from ol0.release.handler import ReleaseHandler
from ol0.sdk.view import View, view_of_state

START_MS: Final = 1_800_000_000_000
EPSILON: Final = 0.1
HOLDBACK: Final = 0.1
SILENT: Final = 0.2
LONGEST: Final = 5
SAFETY: Final = SafetyConfig(cooldown_s=0.0)
"""The defaults: 5 % of the sessions for harm alone, then 25 %."""
Actions = NDArray[np.intp]


@dataclass
class Lineage:
    """One lineage in memory, and the people who use it.

    Attributes:
        suite: file of the canary suite.
        keys: whom gates, release and SDK believe, and what gates sign with.
        prompts: what people ask.
        seed: of everything that is drawn.
        safety: rules of the gates.
        interval_ms: event time between two decisions.
        window_ms: from a decision to the end of its window.
        said: every verdict and transition so far.
        served: digests that ever were live for the SDK, which checks for itself.
    """

    suite: Path
    keys: Keyring
    prompts: Prompts
    seed: int
    safety: SafetyConfig = SAFETY
    interval_ms: int = 1_000
    window_ms: int = 60_000
    said: list[Verdict | Transition] = field(default_factory=list)
    served: set[Digest] = field(default_factory=set)

    def __post_init__(self) -> None:
        suite = read_suite(self.suite)
        self._canary = CanaryGate(suite, self.safety, 0.0, HOLDBACK, self.keys)
        self._drift = DriftMonitor(suite, self.safety, HOLDBACK, self.keys)
        self._release = ReleaseHandler(self.safety, 10, self.keys)
        self._picker = ArmPicker(b"ol0", HOLDBACK)
        self._random = Random(self.seed)
        self._state: ServingState | None = None
        self._view: View | None = None
        self._actions: dict[Digest, Actions] = {}
        self._sequence, self._time_ms = 0, START_MS

    @property
    def state(self) -> ServingState:
        """What serves by the release service."""
        assert self._state is not None, "a base has to be offered first"
        return self._state

    def tell(self, record: Record) -> None:
        """Gives a record to all who read its topic, then what they say of it, until nobody says anything."""
        waiting: deque[Record] = deque([record])
        while waiting:
            one = waiting.popleft()
            if isinstance(one, Verdict | Transition):
                self.said.append(one)
            if isinstance(one, ServingState):
                self._serve(one)
            for handler in (self._canary, self._drift, self._release):
                try:
                    waiting.extend(handler.handle(one))
                except SignatureError:
                    continue  # a dead letter: nothing came of it

    def play(self, decisions: int) -> None:
        """People ask so often, and their windows close."""
        end = self._sequence + decisions
        while self._sequence < end:
            session = f"s{self._random.getrandbits(64):016x}"
            for _ in range(self._random.randint(1, LONGEST)):
                self.tell(self.decide(session)[0])

    def try_out(self) -> None:
        """People ask until nothing is on trial, or for as long as a stage may last."""
        began = self._sequence
        while self.state.staged is not None and self._sequence < began + len(SAFETY.stages) * SAFETY.max_stage:
            self.play(100)

    def _serve(self, state: ServingState) -> None:
        self._state = state
        try:
            self._view = view_of_state(state, self.keys)
        except CheckpointError:
            return  # the SDK goes on with the last good one
        self.served.add(state.live.digest)
        for release in (state.base, state.live, *(() if state.staged is None else (state.staged.release,))):
            if release.digest not in self._actions:
                controller = read_checkpoint(release.heads, release.digest)
                self._actions[release.digest] = controller.greedy(self.prompts.features)[:, 0]

    def decide(self, session: str, wrong_share: float = 0.0) -> tuple[Outcome, int]:
        """One decision and what becomes of it: the arm by its hash, an action by epsilon-greedy, a thumb or none.

        Args:
            session: whose.
            wrong_share: of the thumbs, that say the opposite.

        Returns:
            The outcome, which nobody has heard of yet, and the row of its prompt.
        """
        draw, state, view = self._random, self.state, self._view
        assert view is not None
        arm, _ = view.assign(session, self._picker)
        row = draw.randrange(len(self.prompts))
        digests = {Arm.HOLDBACK: state.base.digest, Arm.LIVE: state.live.digest}
        if state.staged is not None:
            digests[Arm.STAGED] = state.staged.release.digest
        greedy = {one: (int(self._actions[digest][row]),) for one, digest in digests.items()}
        experts = self.prompts.success.shape[1]
        taken = (draw.randrange(experts),) if draw.random() < EPSILON else greedy[arm]
        is_greedy = taken == greedy[arm]
        good = draw.random() < self.prompts.success[row, taken[0]]
        if wrong_share and draw.random() < wrong_share:
            good = not good
        reward = None if draw.random() < SILENT else float(good)
        number, self._sequence = self._sequence, self._sequence + 1
        self._time_ms += self.interval_ms
        outcome = Outcome(
            decision_id=DecisionId(str(uuid.UUID(int=draw.getrandbits(128)))),
            sequence=number,
            session_id=session,
            user=None,
            time_ms=self._time_ms,
            digest=digests[arm],
            arm=arm,
            staged=digests.get(Arm.STAGED),
            serving_sequence=state.sequence,
            action=taken,
            propensity=((1 - EPSILON) * is_greedy + EPSILON / experts,),
            greedy_base=greedy[Arm.HOLDBACK],
            greedy_live=greedy[Arm.LIVE],
            greedy_staged=greedy.get(Arm.STAGED),
            reward=reward,
            parts=RewardParts(thumb=reward),
            group=str(self.prompts.groups[row]),
            window_end_ms=self._time_ms + self.window_ms,
        )
        return outcome, row


def why(said: Sequence[Verdict | Transition], digest: Digest) -> str:
    """The last word on a checkpoint: check and gate, or what release says."""
    causes = [one.cause for one in said if isinstance(one, Transition) and one.digest == digest]
    return causes[-1] if causes else "nobody heard of it"
