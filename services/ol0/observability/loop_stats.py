"""What one round of a loop did."""

from collections.abc import Sequence
from dataclasses import dataclass

from ol0.records import Record


@dataclass(frozen=True, slots=True)
class LoopStats:
    """For metrics and liveness: records that were used, dead letters, records written, and how long it took.

    ``forged``: dead letters without a trusted signature. They say nothing about this service.
    ``missed``: records that were deleted before they were read. ``dropped``: outputs that no topic takes. ``lag``:
    records up to the ends of the logs, as far as the client has heard of them; None where nothing is read from Kafka.
    ``written``: the outputs.
    """

    records: int
    dead_letters: int
    outputs: int
    seconds: float
    forged: int = 0
    missed: int = 0
    dropped: int = 0
    lag: int | None = None
    written: Sequence[Record] = ()
