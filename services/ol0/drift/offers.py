"""What the monitor remembers of a candidate that waits for its base: figures, never heads."""

from dataclasses import dataclass
from typing import Self, TypedDict

from ol0.controller.checkpoint_manager import CheckpointManager
from ol0.controller.compatibility import Structure, StructureSnapshot
from ol0.controller.suite import Suite
from ol0.drift.movement import Movement, measure
from ol0.errors import CheckpointError
from ol0.records import Candidate, Digest


class OfferSnapshot(TypedDict):
    """An ``Offer`` in plain JSON values."""

    digest: str
    base: str
    parent: str
    step: int
    time_ms: int
    structure: StructureSnapshot
    movement: dict[str, float] | None


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

    def snapshot(self) -> OfferSnapshot:
        """In plain JSON values."""
        return OfferSnapshot(
            digest=self.digest,
            base=self.base,
            parent=self.parent,
            step=self.step,
            time_ms=self.time_ms,
            structure=self.structure.snapshot(),
            movement=None if self.movement is None else self.movement.snapshot(),
        )

    @classmethod
    def from_snapshot(cls, snapshot: OfferSnapshot) -> Self:
        """The offer that ``snapshot`` was taken from."""
        digest, base, parent = (Digest(name) for name in (snapshot["digest"], snapshot["base"], snapshot["parent"]))
        structure = Structure.from_snapshot(snapshot["structure"])
        measured = snapshot["movement"]
        movement = None if measured is None else Movement.from_snapshot(measured)
        return cls(digest, base, parent, snapshot["step"], snapshot["time_ms"], structure, movement)
