"""A run for the person who watches: one screen that stays where it is, or plain lines where there is no terminal."""

from typing import Final, Protocol, Self

from rich.console import Console
from rich.live import Live

from ol0.operator.narration import news, status_sentence
from ol0.operator.observation import Observation
from ol0.operator.screen import screen
from ol0.operator.text import clock

STATUS_EVERY_S: Final = 5.0


class View(Protocol):
    """Shows observations. A context manager; used by one thread."""

    def show(self, now: Observation) -> None:
        """Show how the run stands. Call it about twice a second; it takes a few milliseconds."""
        ...

    def say(self, text: str) -> None:
        """Tell something that no observation holds, such as a fault that the harness injects. A whole sentence."""
        ...

    def __enter__(self) -> Self:
        """Take the terminal."""
        ...

    def __exit__(self, *exception: object) -> None:
        """Give the terminal back; what was shown last stays."""
        ...


def make_view(console: Console) -> View:
    """The screen on a terminal, sentences everywhere else."""
    return LiveView(console) if console.is_terminal and not console.is_dumb_terminal else PlainView(console)


class LiveView:
    """One screen, drawn anew at each ``show``, in the size that the terminal has then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._size = console.size
        self._live = self._new()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._live.stop()

    def show(self, now: Observation) -> None:
        """Draw the screen."""
        if self._console.size != self._size:
            self._start_over()
        self._live.update(screen(now, self._size.height), refresh=True)

    def say(self, text: str) -> None:
        """Print a sentence above the screen."""
        self._console.print(text, highlight=False, markup=False)

    def _new(self) -> Live:
        return Live(console=self._console, auto_refresh=False, vertical_overflow="crop")

    def _start_over(self) -> None:
        """After a resize the terminal has wrapped the old lines anew: where the screen began is not known any more."""
        self._live.stop()
        self._console.clear()
        self._size, self._live = self._console.size, self._new()
        self._live.start()


class PlainView:
    """A line every few seconds, and one for each thing that happens, each a whole sentence with its time before it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._before: Observation | None = None
        self._next_status_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        return None

    def show(self, now: Observation) -> None:
        """Print what is new, and from time to time how the run stands."""
        for at_s, text in news(self._before, now):
            self._print(at_s, text)
        if now.elapsed_s >= self._next_status_s:
            self._print(now.elapsed_s, status_sentence(now))
            self._next_status_s = now.elapsed_s + STATUS_EVERY_S
        self._before = now

    def say(self, text: str) -> None:
        """Print a sentence, with the time of the last observation."""
        self._print(0.0 if self._before is None else self._before.elapsed_s, text)

    def _print(self, at_s: float, text: str) -> None:
        self._console.print(f"{clock(at_s):>7}  {text}", highlight=False, markup=False, soft_wrap=True)
