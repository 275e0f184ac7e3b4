"""What a gate has to do when it starts again: read its snapshot, and ask for what the log does not bring (any more)."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ol0.errors import ContractError, flaw_of
from ol0.records import Gate, Record, ServingState


@contextmanager
def reading(gate: Gate) -> Iterator[None]:
    """Says of whatever a parser raises what helps.

    Raises:
        ContractError: what is read is no snapshot of this gate.
    """
    try:
        yield
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        raise ContractError(
            f"the snapshot of {gate} cannot be read ({flaw_of(error)}); `ol0 snapshots delete {gate}` lets it start "
            "over"
        ) from None


class ServingNow:
    """What serves, fetched once before the next record where a snapshot does not say enough of it.

    Args:
        newest: what serves by the log.
    """

    def __init__(self, newest: Callable[[], ServingState | None]) -> None:
        self._newest = newest
        self.is_missing = False

    def before(self, record: Record) -> Sequence[Record]:
        """The record, and before it what is missing."""
        if not self.is_missing:
            return (record,)
        self.is_missing = False
        state = self._newest()
        return (record,) if state is None else (state, record)

    def is_past(self, state: ServingState) -> bool:
        """Whether a newer state serves by the log: chunks that only this one needs may be deleted."""
        newest = self._newest()
        return newest is not None and newest.sequence > state.sequence
