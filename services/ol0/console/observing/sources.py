"""What the watch asks, wired to a lineage: broker, topics, store and dead letters, all of it read only."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from ol0.config import Settings
from ol0.console.observing.letters import Letters, LettersReader
from ol0.kafka.broker_probe import broker_probe
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs.questions import Asker, Which
from ol0.kafka.topic_readers.log_reader import LogReader
from ol0.operator.store.holdups import find_holdups
from ol0.records import Partition
from ol0.replay.connection import connect
from ol0.replay.stats import StoreStats, read_stats

TOPICS: Final = ("verdicts", "transitions", "releases", "candidates", "state", "operator")
STORE_S: Final = 2.0
ENDS_S: Final = 3.0


@dataclass(frozen=True)
class Sources:
    """Questions of the watch. Each may take seconds, and raises OL0Error where there is no answer.

    Attributes:
        probe: whether a broker answers.
        follow: a new reader of ``TOPICS``, from their beginning.
        stats: of the store.
        holdups: why partitions hold event time back.
        ends: where logs end; None: a broker does not say.
        letters: the dead letters.
    """

    probe: Callable[[], None]
    follow: Callable[[], LogReader]
    stats: Callable[[], StoreStats]
    holdups: Callable[[StoreStats], Mapping[str, str]]
    ends: Callable[[Collection[Partition]], Mapping[Partition, int | None]]
    letters: Callable[[], Letters]


def sources_of(settings: Settings) -> Sources:
    """The sources of a lineage. Talks to no server.

    Raises:
        ConfigError: a setting is wrong.
    """
    lineage = Lineage.of(settings.kafka)
    asker = Asker(lineage.clients.admin)
    store = connect(settings.redis, retries=0, timeout_s=STORE_S)
    return Sources(
        probe=broker_probe(lineage.clients),
        follow=lambda: LogReader(settings, TOPICS),
        stats=lambda: read_stats(store, settings.kafka.topic_prefix),
        holdups=lambda stats: find_holdups(settings, stats),
        ends=lambda places: asker.offsets(Which.STABLE, places, ENDS_S).known(),
        letters=LettersReader(lineage).read,
    )
