"""What serves, by the log: for whoever starts without it."""

from typing import Final

from ol0.records import ServingState
from ol0.streaming.lineage import Lineage
from ol0.streaming.table import CompactedReader

READ_S: Final = 30.0


def read_serving(lineage: Lineage) -> ServingState | None:
    """The newest serving state; None before there is a base.

    Raises:
        StreamError: Kafka does not answer, or not to the end of the topic in time.
    """
    with CompactedReader("releases", lineage) as reader:
        states = reader.read_to_end(READ_S).values()
        return max((one for one in states if isinstance(one, ServingState)), key=lambda one: one.sequence, default=None)
