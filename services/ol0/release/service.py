"""The release service, the single writer of what serves: candidates, verdicts and orders in, serving states out."""

from threading import Event

from ol0.config import Settings
from ol0.controller.signing import Keyring
from ol0.kafka.lineage import Lineage
from ol0.kafka.topic_readers.checkpoints import CheckpointReader
from ol0.kafka.transaction_loop import TransactionalLoop
from ol0.observability.rounds import Rounds
from ol0.release.handler import ReleaseHandler
from ol0.release.metrics import release_figures

SOURCES = ("candidates", "verdicts", "operator")


def run(settings: Settings, stop: Event, rounds: Rounds) -> None:
    """Runs until ``stop`` is set. Raises OL0Error."""
    keys = Keyring.of(settings.security, settings.kafka.topic_prefix)
    lineage = Lineage.of(settings.kafka)
    kept = settings.online_learning.max_checkpoints
    handler = ReleaseHandler(settings.safety, kept, keys, CheckpointReader(lineage))
    rounds.ask(lambda: release_figures(handler.state))
    TransactionalLoop(
        "release",
        SOURCES,
        handler,
        lineage=lineage,
        streaming=settings.streaming,
        on_round=rounds,
    ).run(stop)
