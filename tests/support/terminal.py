"""A terminal of a given size with a program in it: a real pty, and an emulator that knows what is on the screen."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

import pyte

LOOK_S = 0.1
END_S = 20.0


class Terminal:
    """What a program shows.

    Args:
        columns: of the window.
        rows: of the window.
        command: what runs in it, until it is closed.
        folder: where it runs.
    """

    def __init__(self, columns: int, rows: int, command: Sequence[str], folder: Path) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._fd, inner = pty.openpty()
        _set_size(self._fd, columns, rows)
        environment = {**os.environ, "TERM": "xterm-256color"}
        environment = {name: value for name, value in environment.items() if name not in {"COLUMNS", "LINES"}}
        self.process = subprocess.Popen(
            command, stdin=inner, stdout=inner, stderr=inner, cwd=folder, env=environment, start_new_session=True
        )
        os.close(inner)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def resize(self, columns: int, rows: int) -> None:
        """As a person does with the mouse: terminals wrap long lines anew, and the kernel tells the program."""
        written = self.lines[: self.screen.cursor.y + 1]
        wrapped = [line[at : at + columns] for line in written for at in range(0, max(1, len(line)), columns)]
        self.screen.resize(rows, columns)
        self.screen.reset()
        self._stream.feed("\r\n".join(wrapped).encode())
        _set_size(self._fd, columns, rows)

    def wait_until(self, holds: Callable[[], bool], within_s: float) -> None:
        """Reads what the program writes until the condition holds for the screen."""
        end_s = monotonic() + within_s
        while not holds():
            left_s = end_s - monotonic()
            assert left_s > 0, f"not on the screen after {within_s:g} s:\n{self.text}"
            if select.select([self._fd], [], [], min(left_s, LOOK_S))[0]:
                with suppress(OSError):  # nobody writes any more
                    self._stream.feed(os.read(self._fd, 65_536))

    def close(self) -> None:
        """Ends the program, and goes on reading meanwhile: one that cannot write cannot end."""
        self.process.terminate()
        try:
            self.wait_until(lambda: self.process.poll() is not None, END_S)
        finally:
            self.process.kill()
            os.close(self._fd)


@contextmanager
def terminal(columns: int, rows: int, command: Sequence[str], folder: Path) -> Iterator[Terminal]:
    opened = Terminal(columns, rows, command, folder)
    try:
        yield opened
    finally:
        opened.close()


def _set_size(fd: int, columns: int, rows: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
