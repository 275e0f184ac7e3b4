"""The services of a lineage, as processes."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from ol0.supervisor.supervisor import Command

SERVICES = ("feedback", "learner", "canary", "drift", "release", "evaluator")

# The matrices are small: a second BLAS thread saves nothing and takes a core from the other services. numpy reads
# these when it is first imported, so they have to be in the environment of the process.
ONE_THREAD: Mapping[str, str] = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def service_commands(config: Path | None, logs: Path, first_port: int = 0) -> list[Command]:
    """One process per service, each with its log file.

    Args:
        config: handed on as ``--config``.
        logs: folder of the log files.
        first_port: of /metrics, /livez and /readyz; the services take this one and those after it. 0: none.
    """
    options = [] if config is None else ["--config", str(config.resolve())]
    # A name of its own gives the one that was killed its partitions back at once; another `ol0 run` has other names.
    own = {"feedback": ["--member", f"run-{uuid4().hex[:8]}"]}

    def environment(number: int) -> Mapping[str, str]:
        port = first_port + number if first_port else 0
        return {**os.environ, **ONE_THREAD, "OL0_OBSERVABILITY__PORT": str(port)}

    return [
        Command(
            name,
            [sys.executable, "-m", "ol0", name, *options, *own.get(name, [])],
            logs / f"{name}.log",
            environment(number),
        )
        for number, name in enumerate(SERVICES)
    ]
