"""How much memory processes have."""

import subprocess
from collections.abc import Callable, Iterable, Mapping


def resident_mib(pids: Iterable[int]) -> dict[int, float]:
    """Resident memory by process id, in MiB, of those that run."""
    command = ["ps", "-o", "pid=,rss=", "-p", ",".join(map(str, pids))]
    listing = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    rows = (line.split() for line in listing.splitlines())
    return {int(pid): int(kib) / 1024 for pid, kib in rows if int(kib)}


class Peak:
    """The most memory that any of some processes had whenever somebody looked.

    Args:
        pids: says which there are, by name.
    """

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        self._pids = pids
        self.mib = 0.0

    def look(self) -> None:
        """One look."""
        self.mib = max([self.mib, *resident_mib(self._pids().values()).values()])
