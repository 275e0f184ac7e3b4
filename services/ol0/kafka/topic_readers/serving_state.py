"""What serves, by the log: for a service that starts without it."""

from contextlib import closing
from time import monotonic
from typing import Final

from ol0.errors import StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.topic_readers.compacted_reader import LatestValue
from ol0.records import ServingState

READ_S: Final = 30.0
POLL_S: Final = 0.2


def read_serving(lineage: Lineage) -> ServingState | None:
    """The newest serving state, whatever garbage came after it; None before there is a base.

    Raises:
        StreamError: the topic cannot be read to its end in time.
    """
    deadline_s = monotonic() + READ_S
    with closing(LatestValue("releases", lineage, "serving", ServingState)) as latest:
        while not latest.caught_up:
            if monotonic() > deadline_s:
                raise StreamError(f"what serves was not read in {READ_S:g} s: is Kafka up (`ol0 status`)?")
            latest.poll(POLL_S)
        return latest.value
