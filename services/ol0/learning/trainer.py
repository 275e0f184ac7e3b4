"""What every learner is, to those who feed it and offer what it learnt."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ol0.controller.controller import Controller
from ol0.controller.heads import Floats
from ol0.controller.trunk import Trunk
from ol0.learning.replay import Replay
from ol0.records import Digest

MOST_FRESH = 512
"""Of a past that was missed, what a learner that starts late looks at: it is evidence, and evidence fades."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step.

    Attributes:
        terms: values of the loss's terms by name, of ``reward_model`` and ``mixer``, and ``gradient_norm`` before
            clipping, ``trust_region_kl`` and ``pulled_back`` (0 or 1).
        errors: surprise of the live examples, their new priorities, shape (n,).
    """

    terms: Mapping[str, float]
    errors: Floats


@dataclass(frozen=True, slots=True)
class Proposal:
    """A checkpoint that may be offered, its controller, its figures by name; and the trunk, where that was tuned."""

    data: bytes
    controller: Controller
    summary: Mapping[str, float]
    trunk: Trunk | None = None


class Trainer(Protocol):
    """Learns from a replay buffer, beside a base. The same examples, base and settings give the same candidates."""

    @property
    def varied(self) -> bool:
        """Whether the last live prompts differ from each other."""

    @property
    def convinced(self) -> bool:
        """Whether there is anything to learn: if not, a candidate would answer as the base does."""

    @property
    def lead(self) -> float:
        """Standard errors by which a candidate is expected to be worth more than what serves; inf: nobody asks."""

    def start_from(self, controller: Controller) -> None:
        """Forgets everything that it may not go on with when this controller serves."""

    def follow(self, live: Controller) -> None:
        """Takes in what serves."""

    def update(self, replay: Replay) -> list[StepReport]:
        """Looks at every example once before it learns from any of them, and learns; at least one report.

        Raises:
            NothingToDraw: no example may be drawn.
        """

    def candidate(self, parent: Digest, step: int, budget_share: float = 1.0) -> Proposal:
        """What was learnt, as a checkpoint.

        Args:
            parent: the release that serves.
            step: counts the candidates of the lineage.
            budget_share: share of the regret budget that it may use.
        """

    def snapshot(self) -> bytes:
        """Everything that changes."""

    def restore(self, data: bytes) -> None:
        """Goes on exactly where ``snapshot`` was taken. Raises CheckpointError where it is none of such a learner."""


def unseen(replay: Replay, seen: int) -> int:
    """How many of the newest examples to look at.

    Negative where a store that was rebuilt holds fewer than were seen: what is in it then was seen, and counting begins
    there.
    """
    return min(replay.examples - seen, MOST_FRESH)
