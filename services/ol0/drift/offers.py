"""What the monitor remembers of a candidate that waits for its base: figures, never heads."""

from dataclasses import dataclass
from typing import Self

from ol0.controller.checkpoint_manager import CheckpointManager
from ol0.controller.compatibility import Structure
from ol0.controller.suite import Suite
from ol0.drift.movement import Movement, measure
from ol0.errors import CheckpointError
from ol0.records import Candidate, Digest


@dataclass(frozen=True)
class Offer:
    """A candidate whose file is sound, without its heads. ``movement`` None: it was asked about other probes."""

    digest: Digest
    base: Digest
    parent: Digest
    step: int
    time_ms: int
    structure: Structure
    movement: Movement | None

    @classmethod
    def of(cls, candidate: Candidate, checkpoints: CheckpointManager, probes: Suite) -> Self:
        """Opens and measures a candidate.

        Raises:
            SignatureError: it is not signed by whom it should be.
            CheckpointError: it is unsound, contradicts its record, or does not take these probes.
        """
        controller = checkpoints.open(candidate)
        if flaw := probes.misfit(controller):
            raise CheckpointError(f"checkpoint {candidate.digest[:12]}: {flaw}")
        return cls(
            candidate.digest,
            candidate.base,
            candidate.parent,
            candidate.step,
            candidate.time_ms,
            Structure.of(controller),
            measure(controller, probes),
        )
