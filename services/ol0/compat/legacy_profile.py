"""The numbers of the code that OL0 takes over from, where they mean the same here: ``profile = "legacy"``.

They hardly move these heads: a step is a thousandth of ours, and the pull to the base three
thousand times as strong. They are here to be compared with, and for hosts that must not learn faster than before.
"""

from collections.abc import Mapping
from typing import Final

LEGACY_NUMBERS: Final[Mapping[str, float | str]] = {
    # example_config.json, online_learning; the dataclass LearningRates has the same step and a lambda of .1
    "learner": "gradient",
    "learning_rate": 1e-5,
    "ewc_lambda": 1000.0,
    "gradient_clip": 1.0,
    # of the design of its successor, in whose units this learner's regret is
    "regret_budget": 0.8,
    "anchor_weight": 0.3,
    # LearningRates.prox_lambda
    "proximal_mu": 0.05,
    # SafetyLimits: the largest KL divergence of an update
    "trust_region": 0.1,
    # example_config.json, replay_buffer
    "replay_size": 10_000,
    "min_replay": 1_000,
    "priority_alpha": 0.6,
    "priority_beta": 0.4,
    "priority_epsilon": 1e-6,
    # example_config.json, checkpointing
    "max_checkpoints": 10,
}
"""Of ``OnlineLearningConfig``, by its keys. What the legacy code has no number for stays ours."""
