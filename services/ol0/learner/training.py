"""One update of a learner from a replay buffer."""

from ol0.config import OnlineLearningConfig
from ol0.learner.learner import HeadTrainer, StepReport
from ol0.learner.priority import importance_exponent
from ol0.learner.replay import Replay

# A learner that starts late looks at this much of the past at most: it is evidence, and evidence fades.
MOST_FRESH = 512


def train(learner: HeadTrainer, replay: Replay, config: OnlineLearningConfig) -> list[StepReport]:
    """Looks at what is new, then takes ``steps_per_update`` steps: each draws, learns, and sends priorities back."""
    observe(learner, replay)
    beta = importance_exponent(replay.examples, config)
    reports = []
    for _ in range(config.steps_per_update):
        drawn = replay.sample(learner.live_rows, config.priority_alpha, beta, learner.rng)
        report = learner.step(drawn.batch, replay.uniform(learner.live_rows, learner.rng))
        replay.update_priorities(drawn, report.errors)
        reports.append(report)
    return reports


def observe(learner: HeadTrainer, replay: Replay) -> None:
    """Shows the learner every example once before it is trained on any of them."""
    fresh = min(replay.examples - learner.seen, MOST_FRESH)
    if fresh > 0:
        learner.observe(replay.newest(fresh), replay.examples)
