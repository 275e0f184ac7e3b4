"""Why a partition brings nothing: it has no reader, its reader is behind or stuck, or a transaction is open in it."""

import math
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple, cast

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked as such for mypy
    AdminClient,
    MemberDescription,
)

from ol0.errors import StreamError
from ol0.kafka.logs.questions import TIMEOUT_S, AskedOffsets, Asker, Repeated, Which
from ol0.kafka.messages import broker_errors
from ol0.records import Partition

LOOK_EVERY_S: Final = 5.0
SILENT_S: Final = 10.0
"""A quiet partition gets a tick every second; one that has brought none for so long is held up."""
SAY_EVERY_S: Final = 60.0
STALLED_S: Final = 30.0
"""How long a consumer may give nothing of a partition that has more to read.

After brokers had died, a consumer was seen to continue with most of its partitions and to give nothing of one any
more: no record, no end, no error. Waiting for it never ends.
"""
REMEDY: Final = (
    "`kafka-transactions.sh describe-producers --topic TOPIC --partition N` names its producer, `abort` ends it; by "
    "itself it ends after that producer's transaction.timeout.ms"
)


class End(NamedTuple):
    """Where a log ends: for readers of what is committed, and with open transactions."""

    stable: int
    high: int


class AskedEnds:
    """A question to the broker about where logs end."""

    def __init__(self, asker: Asker, partitions: Collection[Partition]) -> None:
        # In this order: what is committed in between makes the second answer larger, which the next look sets right.
        self._stable, self._high = (asker.offsets(which, partitions) for which in (Which.STABLE, Which.END))

    @property
    def answered(self) -> bool:
        """Whether ``ends`` waits no more."""
        return self._stable.answered and self._high.answered

    def ends(self) -> dict[Partition, End]:
        """The answers.

        Raises:
            StreamError: the broker did not answer.
        """
        stable, high = self._stable.offsets(), self._high.offsets()
        return {partition: End(stable[partition], high[partition]) for partition in stable}


def members_of(admin: AdminClient, group: str) -> Sequence[MemberDescription]:
    """The members of a consumer group.

    Raises:
        StreamError: the broker does not answer.
    """
    with broker_errors(f"members of the group {group}", "Describe", group):
        members = admin.describe_consumer_groups([group], request_timeout=TIMEOUT_S)[group].result(TIMEOUT_S).members
        return cast("Sequence[MemberDescription]", members)


def readers_of(admin: AdminClient, group: str) -> frozenset[Partition]:
    """The partitions that a member of the consumer group has at the moment. Raises as ``members_of``."""
    members = members_of(admin, group)
    places = [place for member in members if member.assignment for place in member.assignment.topic_partitions]
    return frozenset(Partition(place.topic, place.partition) for place in places)


def reason(next_offset: int, end: End, *, is_read: bool) -> str:
    """Why a partition does not get on from ``next_offset``; empty where there is nothing to be seen."""
    if not is_read:
        return "no feedback process reads it"
    if next_offset < end.stable:
        return f"its reader is {end.stable - next_offset:,} records behind"
    if end.stable < end.high:
        return (
            f"another producer's transaction is open at offset {end.stable:,}, and the {end.high - end.stable:,} "
            f"records from there on wait for it: {REMEDY}"
        )
    return ""


class HoldupWatch:
    """Looks why owned partitions bring nothing, not even the ticks that were written to them, and says so.

    Args:
        asker: asks the broker.
        ticking: whether this process writes ticks. Without them the marker of a transaction may be all that comes, and
            a consumer that gives nothing cannot be told from one that has nothing to give.
    """

    def __init__(self, asker: Asker, *, ticking: bool) -> None:
        self._asker = asker
        self._stalled_s = STALLED_S if ticking else math.inf
        self._heard_at: dict[Partition, float] = {}
        self._said_at: dict[Partition, float] = {}
        self._behind: dict[Partition, tuple[int, float]] = {}
        self._questions = Repeated[AskedEnds](LOOK_EVERY_S, LOOK_EVERY_S)
        self._log = structlog.get_logger("ol0.consume")

    def heard(self, partition: Partition) -> None:
        """The partition has just brought something, or has just been assigned."""
        self._heard_at[partition] = time.monotonic()

    def look(self, next_offsets: Mapping[Partition, int]) -> None:
        """Asks when it is time, and reads what was answered; waits for nothing.

        Args:
            next_offsets: of the owned partitions that are read: one that waits for the sink brings nothing either.

        Raises:
            StreamError: the consumer has stood still at a place behind which there is more. A new one does not.
        """
        asked = self._questions.answered(lambda: self._ask(next_offsets))
        if asked is not None:
            self._judge(asked, next_offsets)

    def _ask(self, next_offsets: Mapping[Partition, int]) -> AskedEnds | None:
        now = time.monotonic()
        silent = [it for it in next_offsets if now - self._heard_at.get(it, now) >= SILENT_S]
        try:
            return AskedEnds(self._asker, silent) if silent else None
        except KafkaException as error:  # out of reach: the consumer says so
            self._log.debug("ends of the sources", reason=str(error))
            return None

    def _judge(self, asked: AskedEnds, next_offsets: Mapping[Partition, int]) -> None:
        try:
            ends = asked.ends()
        except StreamError:
            return  # the consumer says so
        now = time.monotonic()
        self._find_stalled({it: at for it, at in next_offsets.items() if it in ends and at < ends[it].stable}, now)
        for partition, end in ends.items():
            why = reason(next_offsets.get(partition, end.high), end, is_read=True)
            if why and now - self._said_at.get(partition, -math.inf) >= SAY_EVERY_S:
                self._said_at[partition] = now
                silent_s = round(now - self._heard_at.get(partition, now))
                self._log.warning("nothing comes, time waits", partition=str(partition), silent_s=silent_s, reason=why)

    def _find_stalled(self, behind: Mapping[Partition, int], now: float) -> None:
        """Notes since when each partition has been at its offset."""
        before = self._behind
        self._behind = {
            it: before[it] if it in before and before[it][0] == at else (at, now) for it, at in behind.items()
        }
        for partition, (offset, since) in self._behind.items():
            if now - since >= self._stalled_s:
                raise StreamError(
                    f"the consumer has given nothing of {partition} for {now - since:.0f} s, though there is more "
                    f"from offset {offset:,} on: ending, to be started again with a new one"
                )


class StallWatch:
    """Finds partitions of which a consumer gives nothing, though the log has more; waits for no answer."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._heard_at: dict[Partition, float] = {}
        self._questions = Repeated[AskedOffsets](0)

    def heard(self, place: Partition) -> None:
        """The partition has brought a record, or said that this is its end."""
        self._heard_at[place] = time.monotonic()

    def stalled(self, positions: Mapping[Partition, int]) -> list[Partition]:
        """Those that are silent and have records behind their position that may be read: open transactions have none.

        Args:
            positions: the next offset of every partition that is read.
        """
        asked = self._questions.answered(lambda: self._ask(positions))
        if asked is None:
            return []
        ends = asked.known()
        for place in ends:
            self.heard(place)  # it has as long again
        # Nothing is known while a broker is away, which reading says by itself.
        return [place for place, end in ends.items() if end is not None and end > positions.get(place, end)]

    def _ask(self, positions: Mapping[Partition, int]) -> AskedOffsets | None:
        now = time.monotonic()
        quiet = [place for place in positions if now - self._heard_at.setdefault(place, now) >= STALLED_S]
        return self._asker.offsets(Which.STABLE, quiet) if quiet else None
