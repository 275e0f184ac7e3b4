"""All runs of an evaluation, some at a time."""

import multiprocessing
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from benchmarks.evaluation.contenders import ABLATIONS, BASELINES, CEILING
from benchmarks.evaluation.play import Figures, ceiling, play
from benchmarks.evaluation.scenarios import SCENARIOS, USUAL

PROCESSES: Final = 2
T = TypeVar("T")
R = TypeVar("R")
SINGLE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Threads cost more than these small products. numpy reads it when it is imported: by the processes below."""

CHUNK: Final = 4
"""Runs that a process takes at once: neighbours share a world."""

Task = tuple[str, str, str, int]
"""Stream, contender, scenario, seed."""


def tasks(stream: str, seeds: tuple[int, ...], pattern: str) -> list[Task]:
    """Every run whose "contender / scenario" matches; by seed, so that a process makes few worlds."""
    pairs = [(name, USUAL.name) for name in (*BASELINES, CEILING, *ABLATIONS)]
    pairs += [(name, scenario.name) for scenario in SCENARIOS[1:] for name in BASELINES if name != "frozen base"]
    wanted = [pair for pair in pairs if re.search(pattern, " / ".join(pair))]
    return [(stream, name, scenario, seed) for seed in seeds for name, scenario in wanted]


def work(task: Task) -> tuple[Task, Figures]:
    """One run."""
    stream, contender, name, seed = task
    if contender == CEILING:
        return task, ceiling(stream, seed)
    (scenario,) = (it for it in SCENARIOS if it.name == name)
    return task, play(stream, contender, scenario, seed)


def run(todo: list[T], work: Callable[[T], R], processes: int) -> Iterator[R]:
    """All of them, so many at a time, with a line now and then."""
    began = time.monotonic()
    os.environ.update(SINGLE_THREAD)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for number, done in enumerate(pool.imap_unordered(work, todo, chunksize=CHUNK), start=1):
            if number % 10 == 0 or number == len(todo):
                sys.stderr.write(f"  {number} of {len(todo)} runs, {time.monotonic() - began:.0f} s\n")
            yield done
