"""The feedback service: decisions and feedback in, examples into the replay store, outcomes out."""

from threading import Event

import structlog

from ol0.clock import wall_clock_ms
from ol0.config import Settings
from ol0.controller.checkpoint import read_base
from ol0.feedback.forgotten import ForgottenUsers
from ol0.feedback.handler import FeedbackHandler
from ol0.feedback.join import FeedbackJoin
from ol0.feedback.metrics import store_figures
from ol0.feedback.time_watch import TimeWatch
from ol0.kafka import topic_admin
from ol0.kafka.broker_probe import require_broker
from ol0.kafka.consume_loop import ConsumeLoop
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.batch_in_flight import BatchSender
from ol0.kafka.topic_readers.compacted_reader import CompactedReader
from ol0.observability.loop_stats import LoopStats
from ol0.observability.rounds import Rounds
from ol0.replay.budget import Budget
from ol0.replay.server_checks import check_memory, open_store
from ol0.replay.stats import read_stats
from ol0.replay.store import ReplayStore
from ol0.wire.payloads import Payloads

GROUP = "feedback"
SOURCES = ("decisions", "feedback.user", "feedback.tool", "feedback.implicit")


def run(settings: Settings, stop: Event, rounds: Rounds, member: str | None = None) -> None:
    """Runs until ``stop`` is set. Raises OL0Error.

    Args:
        settings: the whole tree.
        stop: ends it.
        rounds: called after every round.
        member: names this process in the consumer group, the same after a restart and unlike any other; None: no name.
    """
    base = read_base(settings.serving.base)
    client = open_store(settings.redis, settings.kafka.topic_prefix)
    max_open = check_memory(client, Budget.of(settings, base.dimension))
    store = ReplayStore(client, settings.kafka.topic_prefix)
    store.attach()
    store.registration.bound(max_open)
    structlog.get_logger("ol0.feedback").info("budget", open_windows=max_open, features=base.dimension)
    lineage = Lineage.of(settings.kafka)
    on_the_wall = settings.streaming.clock == "wall"
    require_broker(lineage.clients)
    if on_the_wall:
        topic_admin.check_stamps(lineage, SOURCES)
    handler = FeedbackHandler(settings.streaming, base.dimension, base.choices, Payloads(lineage.codec))
    publish = BatchSender("outcomes", lineage).send
    join = FeedbackJoin(
        store,
        handler,
        publish,
        batch_size=settings.streaming.batch_size,
        user_limit=settings.streaming.user_rate_limit or 0,
        watch=TimeWatch() if on_the_wall else None,
    )
    prefix = settings.kafka.topic_prefix
    rounds.ask(lambda: store_figures(lambda: read_stats(client, prefix), wall_clock_ms))
    with CompactedReader("operator", lineage) as reader:
        forgotten = ForgottenUsers(reader)
        join.forget(forgotten.read())  # before the first record: no re-read brings them back

        def finish_round(done: LoopStats) -> None:
            join.forget(forgotten.poll())
            rounds(done)

        ConsumeLoop(
            GROUP,
            member,
            SOURCES,
            join,
            lineage=lineage,
            streaming=settings.streaming,
            check=handler.check,
            on_round=finish_round,
        ).run(stop)
