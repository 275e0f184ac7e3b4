"""What serves, by the log: for whoever starts without it."""

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
    latest, deadline_s = LatestValue("releases", lineage, "serving", ServingState), monotonic() + READ_S
    try:
        while not latest.caught_up:
            if monotonic() > deadline_s:
                raise StreamError(f"what serves was not read in {READ_S:g} s: is Kafka up (`ol0 status`)?")
            latest.poll(POLL_S)
        return latest.value
    finally:
        latest.close()
