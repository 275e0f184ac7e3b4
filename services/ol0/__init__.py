"""OL0: online learning for a routing controller, on Kafka and Redis."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ol0.ar1.warmup import WarmupManager
    from ol0.config import OnlineLearningConfig
    from ol0.evaluator.handler import OnlineEvaluator
    from ol0.learning.examples import Example
    from ol0.learning.gradient.ewc import EWCRegularizer
    from ol0.learning.replay import LocalReplay as ReplayBuffer
    from ol0.operator.setup.base import Base
    from ol0.sdk.online_learner import OnlineLearner
    from ol0.sdk.router import Router
    from ol0.simulation.soak_test import run_24hour_soak_test

__all__ = [
    "Base",
    "EWCRegularizer",
    "Example",
    "OnlineEvaluator",
    "OnlineLearner",
    "OnlineLearningConfig",
    "ReplayBuffer",
    "Router",
    "WarmupManager",
    "run_24hour_soak_test",
]

_PLACES = {
    "Base": ("ol0.operator.setup.base", "Base"),
    "EWCRegularizer": ("ol0.learning.gradient.ewc", "EWCRegularizer"),
    "Example": ("ol0.learning.examples", "Example"),
    "OnlineEvaluator": ("ol0.evaluator.handler", "OnlineEvaluator"),
    "OnlineLearner": ("ol0.sdk.online_learner", "OnlineLearner"),
    "OnlineLearningConfig": ("ol0.config", "OnlineLearningConfig"),
    # Of the two behind the protocol Replay, the one in this process; the one on Redis belongs to the service.
    "ReplayBuffer": ("ol0.learning.replay", "LocalReplay"),
    "Router": ("ol0.sdk.router", "Router"),
    "WarmupManager": ("ol0.ar1.warmup", "WarmupManager"),
    "run_24hour_soak_test": ("ol0.simulation.soak_test", "run_24hour_soak_test"),
}


def __getattr__(name: str) -> object:
    """Imports what is asked for when it is asked for: the services need not load the SDK, the SDK not the services."""
    if name in _PLACES:
        module, attribute = _PLACES[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'ol0' has no attribute {name!r}")
