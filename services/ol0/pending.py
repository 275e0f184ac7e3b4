"""The answer to a question that was asked already."""

from collections.abc import Callable
from typing import Generic, TypeVar, cast

T = TypeVar("T")


class Pending(Generic[T]):
    """A future without a thread: the caller continues and blocks only when it needs the answer."""

    def __init__(self, answer: Callable[[], T]) -> None:
        """Wraps the wait.

        Args:
            answer: waits and returns, or raises; called once.
        """
        self._answer: Callable[[], T] | None = answer
        self._value: T | None = None
        self._error: Exception | None = None

    def wait(self) -> None:
        """Until the answer is there, or it is clear that none will come; raises nothing."""
        if self._answer is None:
            return
        answer, self._answer = self._answer, None
        try:
            self._value = answer()
        except Exception as error:  # noqa: BLE001 - raised by result()
            self._error = error

    def result(self) -> T:
        """The answer, or the error that came instead; the same every time."""
        self.wait()
        if self._error is not None:
            raise self._error
        return cast("T", self._value)
