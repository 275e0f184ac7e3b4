"""One update of a learner from a replay buffer."""

from ol0.config import OnlineLearningConfig
from ol0.learner.learner import OnlineLearner, StepReport
from ol0.learner.priority import importance_exponent
from ol0.learner.replay import Replay


def train(learner: OnlineLearner, replay: Replay, config: OnlineLearningConfig) -> list[StepReport]:
    """``steps_per_update`` steps: each draws a batch, learns from it and sends its priorities back."""
    beta = importance_exponent(replay.examples, config)
    reports = []
    for _ in range(config.steps_per_update):
        drawn = replay.sample(learner.live_rows, config.priority_alpha, beta, learner.rng)
        report = learner.step(drawn.batch, replay.uniform(learner.live_rows, learner.rng))
        replay.update_priorities(drawn, report.errors)
        reports.append(report)
    return reports
