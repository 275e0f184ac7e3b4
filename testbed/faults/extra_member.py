"""A feedback process within this one that joins the group and leaves it again: two rebalances."""

from time import monotonic

from ol0.config import Settings
from ol0.feedback.handler import FeedbackHandler
from ol0.feedback.join import FeedbackJoin
from ol0.feedback.service import GROUP, SOURCES
from ol0.kafka.consume_loop import ConsumeLoop
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.batch_in_flight import BatchSender
from ol0.replay.connection import connect
from ol0.replay.store import ReplayStore
from ol0.wire.payloads import Payloads
from testbed.worlds import EXPERTS, KIND_COUNT

ASSIGNED_WITHIN_S = 15.0


def join_and_leave(settings: Settings, seconds: float) -> bool:
    """Works as ``ol0 feedback`` does until it is given partitions, and then for so long.

    Returns whether it was given any; the group may be too busy with other things.
    """
    loop = _member(settings)
    give_up, end = monotonic() + ASSIGNED_WITHIN_S, 0.0
    try:
        loop.open()
        while monotonic() < (end or give_up):
            loop.step()
            if loop.owned and not end:
                end = monotonic() + seconds
    finally:
        loop.close()
    return bool(end)


def _member(settings: Settings) -> ConsumeLoop:
    lineage = Lineage.of(settings.kafka)
    streaming = settings.streaming
    store = ReplayStore(connect(settings.redis), settings.kafka.topic_prefix)
    store.attach()
    handler = FeedbackHandler(streaming, KIND_COUNT, (EXPERTS,), Payloads(lineage.codec))
    publish = BatchSender("outcomes", lineage).send
    limit = streaming.user_rate_limit or 0
    join = FeedbackJoin(store, handler, publish, batch_size=streaming.batch_size, user_limit=limit)
    return ConsumeLoop(GROUP, None, SOURCES, join, lineage=lineage, streaming=streaming, check=handler.check)
