"""The drift service: candidates, outcomes and releases in, verdicts out."""

from threading import Event

from ol0.config import Settings, Signer
from ol0.controller.signing import Keyring
from ol0.controller.suite import read_suite
from ol0.drift.handler import DriftMonitor
from ol0.kafka.lineage import Lineage
from ol0.kafka.topic_readers.checkpoints import CheckpointReader
from ol0.kafka.topic_readers.serving_state import read_serving
from ol0.kafka.transaction_loop import TransactionalLoop
from ol0.observability.rounds import Rounds
from ol0.observability.verdicts import VerdictFigures

SOURCES = ("releases", "candidates", "outcomes", "decisions")
SAMPLED = {"decisions": 4}
"""A batch, of which there are some twenty a second under load: enough to see what prompts look like within seconds."""


def run(settings: Settings, stop: Event, rounds: Rounds) -> None:
    """Runs until ``stop`` is set. Raises OL0Error."""
    suite = read_suite(settings.safety.suite)
    keys = Keyring.of(settings.security, settings.kafka.topic_prefix, Signer.DRIFT)
    lineage = Lineage.of(settings.kafka)
    monitor = DriftMonitor(
        suite,
        settings.safety,
        settings.serving.holdback,
        keys,
        newest=lambda: read_serving(lineage),
        opener=CheckpointReader(lineage),
    )
    rounds.listen(VerdictFigures("drift"))
    TransactionalLoop(
        "drift",
        SOURCES,
        monitor,
        lineage=lineage,
        streaming=settings.streaming,
        sampled=SAMPLED,
        on_round=rounds,
    ).run(stop)
