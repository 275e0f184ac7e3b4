"""``ol0 replay rebuild``: a wiped or damaged store, made again from the logs.

The store is a function of the logs. So it is enough to recreate it, with every source partition at the first offset
that its log still has: the feedback service reads from there, and ends with the same ring, byte for byte, as far as
the logs reach. What is on no log is lost: priorities start over, and exclusions must be repeated.
"""

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from ol0.config import Settings
from ol0.errors import StoreError
from ol0.feedback.service import GROUP, SOURCES
from ol0.kafka import topic_admin
from ol0.kafka.clients import SESSION_TIMEOUT_MS
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs.holdups import members_of
from ol0.kafka.logs.questions import describe
from ol0.kafka.topic_readers.log_reader import LogReader
from ol0.records import Outcome, Partition
from ol0.replay.budget import MOST_OPEN
from ol0.replay.connection import connect
from ol0.replay.layout import decision_key
from ol0.replay.protocol import Published
from ol0.replay.rebuild import rebuild_store
from ol0.replay.server_checks import open_store
from ol0.replay.store import ReplayStore

SILENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """What a rebuild would start from.

    Attributes:
        logs: first offset that the log has and the next one to be written, by source partition.
        published: the newest outcome; None before the first.
        next_outcome: above every number that was ever given, also to outcomes that have expired.
        exists: whether there is a store.
        is_owned: whether a feedback process is in the consumer group.
    """

    logs: Mapping[Partition, tuple[int, int]]
    published: Published | None
    next_outcome: int
    exists: bool
    is_owned: bool


def plan_rebuild(settings: Settings) -> RebuildPlan:
    """Looks at logs and store; changes nothing. Reads the whole outcomes topic, for its newest number.

    Raises:
        StreamError: the broker does not answer, or a topic is missing.
        StoreError: the store is out of reach, or has wrong settings.
    """
    client = open_store(settings.redis, settings.kafka.topic_prefix)
    lineage = Lineage.of(settings.kafka)
    logs: dict[Partition, tuple[int, int]] = {}
    for place in topic_admin.source_partitions(settings, SOURCES):
        bounds = lineage.clients.bounds(place.topic, [place.number], topic_admin.TIMEOUT_S)
        logs[place] = bounds[place.number]
    exists = ReplayStore(client, settings.kafka.topic_prefix).exists()
    newest = _newest_outcome(settings)
    return RebuildPlan(logs, newest, _next_outcome(lineage, newest), exists, _has_members(lineage))


def rebuild(settings: Settings, plan: RebuildPlan, *, force: bool) -> None:
    """Recreates the store; the feedback service then refills it.

    Args:
        settings: of the lineage.
        plan: of just now.
        force: also while a feedback process runs. It finds another store and ends; its supervisor starts it again.

    Raises:
        StoreError: a feedback process runs, or the store is out of reach.
    """
    if plan.is_owned and not force:
        raise StoreError(
            "a feedback process has partitions: stop it first (its place in the group ends "
            f"{SESSION_TIMEOUT_MS // 1000} s later), or add --force, and it starts again with the new store"
        )
    rebuild_store(
        connect(settings.redis),
        settings.kafka.topic_prefix,
        starts={partition: first for partition, (first, _) in plan.logs.items()},
        capacity=settings.online_learning.replay_size,
        max_open=settings.streaming.max_open or MOST_OPEN,
        published=plan.published,
        next_outcome=plan.next_outcome,
    )


def _newest_outcome(settings: Settings) -> Published | None:
    with closing(LogReader(settings, ["outcomes"])) as reader:
        outcomes = (record for record in reader.to_the_end(SILENCE_S) if isinstance(record, Outcome))
        newest = max(outcomes, key=lambda outcome: outcome.sequence, default=None)
    if newest is None:
        return None
    return Published(newest.sequence, newest.window_end_ms, decision_key(newest.decision_id))


def _next_outcome(lineage: Lineage, newest: Published | None) -> int:
    """The number after the newest outcome; where outcomes have expired, a number that none of them can have had.

    Readers take a number that they have passed for a repeat. Each outcome took one offset at least, so there were never
    more than all ends together.
    """
    topic = lineage.topics.full("outcomes")
    described = describe(lineage.clients.admin(), [topic], topic_admin.TIMEOUT_S)
    bounds = lineage.clients.bounds(topic, described[topic].partitions, topic_admin.TIMEOUT_S)
    return next_number(newest, bounds.values())


def next_number(newest: Published | None, bounds: Iterable[tuple[int, int]]) -> int:
    """The same, from the first offsets and the ends of the logs of outcomes."""
    logs = list(bounds)
    after_newest = 0 if newest is None else newest.number + 1
    if all(first < end for first, end in logs if end):
        return after_newest  # of each log the end is there, and one of these ends is the newest
    return max(after_newest, sum(end for _, end in logs))


def _has_members(lineage: Lineage) -> bool:
    """Asks the broker, for an epoch says nothing of time, and a wiped store has none."""
    return bool(members_of(lineage.clients.admin(), f"{lineage.topics.prefix}.{GROUP}"))
