"""What one round of a loop did."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoopStats:
    """For metrics and liveness: records that were used, dead letters, records written, and how long it took.

    ``forged``: of the dead letters, those that nobody who is trusted has signed. They say nothing of this service.
    ``missed``: records that were deleted before they were read. ``dropped``: outputs that no topic takes.
    """

    records: int
    dead_letters: int
    outputs: int
    seconds: float
    forged: int = 0
    missed: int = 0
    dropped: int = 0
