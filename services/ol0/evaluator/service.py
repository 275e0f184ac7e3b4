"""The evaluator service: outcomes, transitions, releases and verdicts in; its snapshot holds the figures."""

from threading import Event

from ol0.config import Settings
from ol0.controller.signing import Keyring
from ol0.evaluator.handler import OnlineEvaluator
from ol0.evaluator.metrics import evaluation_figures
from ol0.kafka.lineage import Lineage
from ol0.kafka.topic_readers.checkpoints import CheckpointReader
from ol0.kafka.transaction_loop import TransactionalLoop
from ol0.observability.rounds import Rounds

SOURCES = ("releases", "transitions", "outcomes", "verdicts")


def run(settings: Settings, stop: Event, rounds: Rounds) -> None:
    """Runs until ``stop`` is set. Raises OL0Error."""
    keys = Keyring.of(settings.security, settings.kafka.topic_prefix)
    lineage = Lineage.of(settings.kafka)
    opener = CheckpointReader(lineage)
    evaluator = OnlineEvaluator(settings.evaluation, settings.safety, settings.serving, keys, opener)
    rounds.ask(lambda: evaluation_figures(evaluator.figures()))
    TransactionalLoop(
        "evaluator",
        SOURCES,
        evaluator,
        lineage=lineage,
        streaming=settings.streaming,
        on_round=rounds,
    ).run(stop)
