"""Closing windows beside the loop, so that neither waits for the other's store calls."""

from collections.abc import Sequence
from threading import Event, Thread
from types import TracebackType
from typing import Self

from ol0.streaming.sink import Partition, Sink, SourceRecord


class ClosingBeside:
    """A sink whose ``idle`` work is done by a thread of its own. Implements ``streaming.sink.Sink``; use in ``with``.

    Closing and taking in need no order between them: due windows are frozen, and commits are compare-and-set, as they
    are between processes. While one thread waits for the store, or for acknowledgements, the other computes.

    Raises:
        Whatever ``idle`` raised, from the next call of ``idle``; the thread has ended by then.
    """

    def __init__(self, sink: Sink) -> None:
        """Nothing runs before ``with``."""
        self._sink = sink
        self._wanted, self._stopping = Event(), False
        self._error: Exception | None = None
        self._thread = Thread(target=self._work, name="closing", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for the work at hand; raises what went wrong with it, unless something else did before."""
        self._stopping = True
        self._wanted.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def claim(self, partition: Partition) -> int:
        """See ``Sink``."""
        return self._sink.claim(partition)

    def apply(self, partition: Partition, records: Sequence[SourceRecord], next_offset: int) -> bool:
        """See ``Sink``."""
        return self._sink.apply(partition, records, next_offset)

    def release(self, partition: Partition) -> None:
        """See ``Sink``."""
        self._sink.release(partition)

    def idle(self) -> None:
        """Asks for the work, and waits for none of it."""
        if self._error is not None:
            raise self._error
        self._wanted.set()

    def _work(self) -> None:
        try:
            while not self._stopping:
                self._wanted.wait()
                self._wanted.clear()
                self._sink.idle()
        except Exception as error:  # noqa: BLE001 - raised where the loop runs
            self._error = error
