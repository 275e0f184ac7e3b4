"""Learning above hidden layers: what learns heads of features learns heads of what the trunk makes of them."""

from ol0.controller.checkpoint import read_checkpoint, write_checkpoint
from ol0.controller.controller import Controller
from ol0.learning.replay import Replay
from ol0.learning.trainer import Proposal, StepReport, Trainer
from ol0.records import Digest


class OnTrunk:
    """A ``Trainer`` whose checkpoints carry the base's trunk.

    References:
        Riquelme, Tucker and Snoek, "Deep Bayesian bandits showdown", ICLR 2018: a linear model of the last layer, in
        closed form, holds its own against every network that is trained as a whole.
    """

    def __init__(self, base: Controller, trainer: Trainer) -> None:
        """Begins where the trainer does.

        Args:
            base: with a trunk.
            trainer: of the base's heads alone: see ``Controller.above_trunk``.
        """
        self._base, self._trainer = base, trainer

    @property
    def varied(self) -> bool:
        """See ``Trainer``."""
        return self._trainer.varied

    @property
    def convinced(self) -> bool:
        """See ``Trainer``."""
        return self._trainer.convinced

    @property
    def lead(self) -> float:
        """See ``Trainer``."""
        return self._trainer.lead

    def start_from(self, controller: Controller) -> None:
        """See ``Trainer``."""
        self._trainer.start_from(controller.above_trunk)

    def follow(self, live: Controller) -> None:
        """See ``Trainer``."""
        self._trainer.follow(live)

    def update(self, replay: Replay) -> list[StepReport]:
        """See ``Trainer``."""
        return self._trainer.update(replay)

    def candidate(self, parent: Digest, step: int, budget_share: float = 1.0) -> Proposal:
        """See ``Trainer``."""
        made = self._trainer.candidate(parent, step, budget_share)
        heads = made.controller
        trunk = made.trunk or self._base.trunk
        data = write_checkpoint(heads.manifest, heads.base, heads.learnt, heads.mixer, trunk)
        return Proposal(data, read_checkpoint(data), made.summary, trunk)

    def snapshot(self) -> bytes:
        """See ``Trainer``."""
        return self._trainer.snapshot()

    def restore(self, data: bytes) -> None:
        """See ``Trainer``."""
        self._trainer.restore(data)
