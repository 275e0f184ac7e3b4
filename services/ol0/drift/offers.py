"""What the monitor remembers of a candidate that waits for its base: figures, never heads."""

from dataclasses import dataclass
from typing import Self

from ol0.controller.checkpoint_manager import CheckpointManager
from ol0.controller.compatibility import Structure
from ol0.controller.suite import Suite
from ol0.drift.movement import Movement, measure
from ol0.errors import CheckpointError
from ol0.gates import offers as gates
from ol0.records import Candidate, brief


@dataclass(frozen=True)
class Offer(gates.Offer):
    """With the figures of its file, which is sound. ``movement`` None: it was asked about other probes."""

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
            raise CheckpointError(f"checkpoint {brief(candidate.digest)}: {flaw}")
        return cls(*gates.names_of(candidate), Structure.of(controller), measure(controller, probes))
