"""One side of a comparison as a process of its own, so that its CPU is only its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).parents[1]
PEERS: Final = ROOT / ".venv-bench/bin/python"
"""Its packages are pinned in ``requirements.lock`` beside this file, and no part of the project."""
PATIENCE_S: Final = 300


@dataclass(frozen=True)
class Work:
    """What a side did between its first record and its last outcome.

    Attributes:
        wall_s: how long that took.
        cpu_s: CPU of the process, user and system, all threads.
        store_cpu_s: CPU of the store meanwhile; 0 where there is none.
        records: messages that were read.
        outcomes: decisions whose windows were closed.
    """

    wall_s: float
    cpu_s: float
    store_cpu_s: float
    records: int
    outcomes: int

    @property
    def total_cpu_s(self) -> float:
        """With the store's."""
        return self.cpu_s + self.store_cpu_s

    def say(self) -> None:
        """Hands it to the process that started this one."""
        sys.stdout.write(json.dumps(asdict(self)) + "\n")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The last line of what a worker said."""
        return cls(**json.loads(text.strip().splitlines()[-1]))


class Stopwatch:
    """Wall and CPU time since the first record."""

    def __init__(self) -> None:
        self._wall = self._cpu = 0.0
        self.running = False

    def start(self, earlier_s: float = 0.0) -> None:
        """Begins, as if ``earlier_s`` ago; does nothing the second time."""
        if not self.running:
            self.running, self._wall, self._cpu = True, time.perf_counter() - earlier_s, time.process_time()

    def read(self) -> tuple[float, float]:
        """Wall and CPU seconds so far."""
        return time.perf_counter() - self._wall, time.process_time() - self._cpu


class WorkerError(Exception):
    """A worker failed; the message ends with its last words."""


def start(module: str, *arguments: str, python: str = sys.executable) -> subprocess.Popen[str]:
    """Starts ``python -m benchmarks.MODULE``; numpy's threads would cost more than these small products."""
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = os.pathsep.join((str(ROOT), str(ROOT / "services")))
    return subprocess.Popen(
        [python, "-m", f"benchmarks.{module}", *arguments],
        cwd=ROOT,
        env={**os.environ, **threads, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Waits for a worker and returns what it said.

    Raises:
        WorkerError: it failed, or did not end in time.
    """
    try:
        output, errors = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
    if process.returncode:
        raise WorkerError(f"{process.args!r} ended with {process.returncode}: {last_text(errors)}")
    return output


def last_text(text: str, lines: int = 3) -> str:
    """The end of an error, in one line."""
    return " / ".join(line.strip() for line in text.strip().splitlines()[-lines:])[-600:]


def run(module: str, arguments: Sequence[str], python: str = sys.executable) -> Work:
    """Runs one worker to its end."""
    return Work.parse(finish(start(module, *arguments, python=python)))


def per_outcome(work: Work) -> Mapping[str, float]:
    """Outcomes a second, and CPU microseconds an outcome, the store's included."""
    return {"rate": work.outcomes / work.wall_s, "cpu_us": 1e6 * work.total_cpu_s / work.outcomes}
