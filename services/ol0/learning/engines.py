"""Which learner the settings name."""

from typing import TYPE_CHECKING

from ol0.config import OnlineLearningConfig
from ol0.controller.controller import Controller
from ol0.errors import ConfigError
from ol0.learning.anchors import AnchorSet
from ol0.learning.batch import Batch
from ol0.learning.gradient.trainer import HeadTrainer
from ol0.learning.on_trunk import OnTrunk
from ol0.learning.trainer import Trainer
from ol0.learning.values.trainer import ValueTrainer

if TYPE_CHECKING:
    from ol0.learning.tuning.torch_tuner import TorchTuner


def trainer_of(base: Controller, logged: Batch, config: OnlineLearningConfig, seed: int) -> Trainer:
    """The learner of this base.

    Args:
        base: the frozen controller that everything is measured against.
        logged: anchors: decisions of it on its own prompts, as a batch of what its heads see.
        config: every number.
        seed: of whatever is drawn.

    Raises:
        ConfigError: hidden layers are to be tuned, and torch is not installed, or its device is not there.
    """
    heads = base.above_trunk
    if config.learner == "values":
        trainer: Trainer = ValueTrainer(heads, logged, config, _tuner(base, logged, config))
    else:
        trainer = HeadTrainer(heads, AnchorSet.split(logged, config.calibration_share, seed), config, seed)
    return trainer if base.trunk is None else OnTrunk(base, trainer)


def _tuner(base: Controller, logged: Batch, config: OnlineLearningConfig) -> "TorchTuner | None":
    """What trains the hidden layers, where the base lets them be tuned and the settings do not forbid it."""
    if base.trunk is None or not base.trunk.tuned or config.engine == "numpy":
        return None
    try:
        from ol0.learning.tuning.torch_tuner import TorchTuner  # noqa: PLC0415 - torch is an extra
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the base's hidden layers are to be tuned, and {error.name} is not installed: pip install 'ol0[torch]', "
            "or set online_learning.engine to numpy, which leaves them as they are"
        ) from None
    return TorchTuner(base, logged, config)
