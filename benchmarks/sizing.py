"""What does a decision cost each process? The six services at steady rates, on a real broker and a real store.

    python -m benchmarks.sizing [--rates 100 300 1000] [--features 384] [--experts 8] [--seconds 60]

CPU is user and system time of each process while decisions are made, so that what else the machine does matters
little; memory is what a process holds at the end. The time before the measurement, in which services start, windows
fill and the ring comes to its size, does not count. A rate at which records pile up is said to be one.
"""

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Final
from urllib.request import urlopen

import numpy as np

from benchmarks.measure import say
from benchmarks.sizes import write_prompts
from ol0.config import Settings, load_settings
from ol0.observability.logs import configure_logs
from ol0.operator.setup.lineage import apply_topics, warm_up
from ol0.operator.setup.prompts import Prompts, Split, read_prompts, split_prompts
from ol0.records import ServingState
from ol0.replay.connection import connect
from ol0.replay.store import ReplayStore
from ol0.sdk.options import Options
from ol0.sdk.router import Router
from ol0.simulation.demo import demo_settings
from ol0.simulation.users import UserHabits, Users
from ol0.stacks.native import NativeStack
from ol0.stacks.ports import LOOPBACK
from ol0.supervisor.service_commands import SERVICES, service_commands
from ol0.supervisor.supervisor import Supervisor
from testbed.faults.memory import resident_mib
from testbed.lineages import Journal

RUN: Final = Path(__file__).parents[1] / "runs/sizing"
WINDOW_S: Final = 10.0
FILL_S: Final = 30.0
"""Before the measurement: windows are open for ten seconds, and candidates have begun to come."""
FIRST_PORT: Final = 19_200
STARTED_WITHIN_S: Final = 90.0
FOR_EVER: Final = 10**9
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
HOST: Final = "host"


@dataclass(frozen=True)
class Load:
    """One row: so many decisions a second, of so many features and experts, for so many seconds."""

    rate_per_s: float
    features: int
    experts: int
    seconds: float


@dataclass(frozen=True)
class Sample:
    """What had been used up at one moment.

    Attributes:
        at_s: monotonic.
        decisions: that the store had taken in.
        cpu_s: of each process, user and system.
        log_bytes: of each topic, segments on disk.
    """

    at_s: float
    decisions: int
    cpu_s: Mapping[str, float]
    log_bytes: Mapping[str, int]


def cpu_s(pid: int) -> float:
    """User and system time of a process with all its threads, in seconds (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def log_bytes(stack: NativeStack, prefix: str) -> dict[str, int]:
    """Bytes of the segments of each topic, by logical name."""
    found: dict[str, int] = {}
    for segment in stack.brokers[0].data.glob(f"{prefix}.*-*/*.log"):
        name = segment.parent.name.removeprefix(f"{prefix}.").rpartition("-")[0].removesuffix(".v1")
        found[name] = found.get(name, 0) + segment.stat().st_size
    return found


def lag(number: int) -> int:
    """Records that a service has not read yet, over all partitions."""
    with urlopen(f"http://{LOOPBACK}:{FIRST_PORT + number}/metrics", timeout=5) as answer:
        told = re.findall(r"^ol0_lag_records(?:\{.*\})? (\S+)", answer.read().decode(), re.MULTILINE)
    return round(sum(map(float, told)))


def prepare(stack: NativeStack, folder: Path, load: Load) -> tuple[Path, Settings, Split]:
    """A lineage with a base, on prompts whose float32 features do not compress, as an embedder's do not."""
    with tempfile.TemporaryDirectory() as scratch:
        write_prompts(Path(scratch) / "prompts.npz", load.features, load.experts, 8_000)
        prompts, old = read_prompts(Path(scratch) / "prompts.npz")
    noise = np.random.default_rng(0).normal(scale=1e-4, size=prompts.features.shape)
    split = split_prompts(Prompts(prompts.features + noise.astype("f4"), prompts.success, prompts.groups), old, seed=0)
    tree = {name: dict(section) for name, section in demo_settings(0, UserHabits()).items()}
    tree["kafka"] = {"bootstrap_servers": stack.bootstrap_servers}
    tree["redis"] = {"url": stack.redis_url}
    tree["streaming"] = {"reward_window_s": WINDOW_S, "allowed_lateness_s": 1.0}
    tree["serving"] |= {"base": str(folder / "base.safetensors")}
    tree["safety"] |= {"suite": str(folder / "suite.safetensors"), "cooldown_s": 5.0}
    config = folder / "ol0.json"
    config.write_text(json.dumps(tree), encoding="utf-8")
    settings = load_settings(config)
    apply_topics(settings)
    warm_up(settings, split, folder, seed=0)
    return config, settings, split


class Measurement:
    """Takes samples of a lineage that runs."""

    def __init__(self, stack: NativeStack, settings: Settings, pids: Mapping[str, int]) -> None:
        self._stack, self._prefix = stack, settings.kafka.topic_prefix
        self._client = connect(settings.redis)
        self._store = ReplayStore(self._client, self._prefix)
        self._pids = {**pids, "broker": stack.brokers[0].pid, "store": stack.valkey.pid, HOST: os.getpid()}

    def sample(self) -> Sample:
        """Now."""
        used = {name: cpu_s(pid) for name, pid in self._pids.items()}
        return Sample(time.monotonic(), self._store.counters().decisions, used, log_bytes(self._stack, self._prefix))

    def figures(self, first: Sample, last: Sample, behind: int) -> dict[str, object]:
        """What lies between two samples, each decision's share."""
        count, seconds = last.decisions - first.decisions, last.at_s - first.at_s
        memory = resident_mib(self._pids.values())
        info = self._client.info("memory")
        assert isinstance(info, dict)
        counters = self._store.counters()
        grown = {name: size - first.log_bytes.get(name, 0) for name, size in last.log_bytes.items()}
        return {
            "decisions": count,
            "decisions_per_s": round(count / seconds),
            "cpu_ms_per_decision": {n: round(1000 * (last.cpu_s[n] - first.cpu_s[n]) / count, 3) for n in self._pids},
            "resident_mib": {name: round(memory[pid]) for name, pid in self._pids.items()},
            "log_bytes_per_decision": {n: round(size / count, 1) for n, size in sorted(grown.items()) if size > count},
            "store_mib": round(info["used_memory"] / 1024**2, 1),
            "open_windows": counters.open,
            "sent_and_not_in_the_store": behind,
            "lag_records": {name: lag(number) for number, name in enumerate(SERVICES)},
        }


def measure(load: Load) -> dict[str, object]:
    """One row, on servers of its own."""
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir(parents=True)
    with NativeStack(RUN / "stack", redis_maxmemory_bytes=4 * 1024**3) as stack:
        config, settings, split = prepare(stack, RUN, load)
        with Supervisor(service_commands(config, RUN / "logs", FIRST_PORT)) as supervisor:
            with Journal(settings, "releases") as journal:
                journal.first(ServingState, within_s=STARTED_WITHIN_S)
            with Router.open(settings, Options()) as router:
                habits = UserHabits(rate_per_s=load.rate_per_s, population=100_000)
                users, stop = Users(router, split.stream, split.base, habits, 0), Event()
                asking = Thread(target=users.run, args=(FOR_EVER, stop), daemon=True)
                asking.start()
                it = Measurement(stack, settings, supervisor.pids)
                time.sleep(FILL_S)
                first = it.sample()
                time.sleep(load.seconds)
                last = it.sample()
                found = it.figures(first, last, users.tally.decisions - last.decisions)
                stop.set()
                asking.join()
                found |= {"lost_by_the_host": router.dropped}
            supervisor.step()
            assert supervisor.pids.keys() == set(SERVICES), supervisor.pids
    return {"rate_per_s": load.rate_per_s, "features": load.features, "experts": load.experts, **found}


def main() -> None:
    """Measures each rate in turn; writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=[100.0, 300.0, 1_000.0], help="decisions a second")
    parser.add_argument("--features", type=int, default=384)
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    configure_logs("sizing", "CRITICAL")
    for rate in given.rates:
        say(f"{rate:g} decisions a second of {given.features:,} features ...")
        row = measure(Load(rate, given.features, given.experts, given.seconds))
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
