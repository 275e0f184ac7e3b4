"""Which learner the settings name."""

from ol0.config import OnlineLearningConfig
from ol0.controller.controller import Controller
from ol0.learning.anchors import AnchorSet
from ol0.learning.batch import Batch
from ol0.learning.gradient.trainer import HeadTrainer
from ol0.learning.on_trunk import OnTrunk
from ol0.learning.trainer import Trainer
from ol0.learning.values.trainer import ValueTrainer


def trainer_of(base: Controller, logged: Batch, config: OnlineLearningConfig, seed: int) -> Trainer:
    """The learner of this base.

    Args:
        base: the frozen controller that everything is measured against.
        logged: anchors: decisions of it on its own prompts, as a batch of what its heads see.
        config: every number.
        seed: of whatever is drawn.
    """
    if base.trunk is not None:
        return OnTrunk(base, trainer_of(base.above_trunk, logged, config, seed))
    if config.learner == "values":
        return ValueTrainer(base, logged, config)
    return HeadTrainer(base, AnchorSet.split(logged, config.calibration_share, seed), config, seed)
