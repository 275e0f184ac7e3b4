"""A whole lineage that makes candidates and releases them, a batch of feedback at a time."""

from collections.abc import Mapping

from integration.test_restarts import teach
from ol0.records import Candidate, Outcome, ServingState
from ol0.replay.connection import connect
from ol0.replay.layout import Key, store_key
from ol0.supervisor.service_commands import SERVICES
from support.kafka_log import read_messages, read_records
from testbed.lineages import Journal, Place, services
from testbed.waiting import wait_until

WITHIN_S = 60.0


def learn(place: Place, batch: int) -> ServingState:
    """All services run until a candidate of this batch serves and every outcome is sent; none of them may die."""
    with services(place, SERVICES):
        return advance(place, batch)


def advance(place: Place, batch: int) -> ServingState:
    """The same, where they run already."""
    known = {one.digest for one in read_records(place.lineage(), "candidates") if isinstance(one, Candidate)}
    with Journal(place.settings, "candidates", "releases") as journal:
        teach(place, batch)
        made = journal.first(Candidate, lambda it: it.digest not in known, within_s=WITHIN_S)
        state = journal.first(ServingState, lambda it: it.live.digest == made.digest, within_s=WITHIN_S)
        wait_until(lambda: all_sent(place), WITHIN_S)
    return state


def all_sent(place: Place) -> bool:
    return not connect(place.settings.redis).xlen(store_key(place.prefix, Key.OUTBOX))


def outcomes_of(place: Place) -> Mapping[int, bytes]:
    """Every outcome on its topic by number. A copy has to be the same, byte for byte."""
    lineage, found = place.lineage(), dict[int, bytes]()
    for message in read_messages(lineage, lineage.topics.full("outcomes")):
        value = message.value() or b""
        record = lineage.codec.decode(value)
        if isinstance(record, Outcome):
            assert found.setdefault(record.sequence, value) == value
    return found
