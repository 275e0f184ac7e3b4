"""A lineage under faults: its feedback processes, a host that decides and reports, and the audit at the end."""

import contextlib
import json
import os
import signal
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from threading import Event, Thread
from typing import Protocol, Self, cast
from urllib.request import urlopen

from ol0.config import Settings, load_settings
from ol0.kafka.lineage import Lineage
from ol0.operator.setup.lineage import apply_topics
from ol0.replay.connection import connect
from ol0.replay.counters import Counters
from ol0.replay.layout import Key, store_key
from ol0.replay.store import ReplayStore
from ol0.stacks.ports import LOOPBACK, free_ports
from ol0.supervisor.service_commands import ONE_THREAD
from ol0.supervisor.supervisor import Command, RestartConfig, Supervisor
from testbed.faults.audit import Audit, Auditor
from testbed.faults.traffic import Traffic
from testbed.waiting import wait_until
from testbed.worlds import make_base

PARTITIONS = {"decisions": 3, "feedback.user": 2, "feedback.tool": 1, "feedback.implicit": 1, "outcomes": 2}
STREAMING: Mapping[str, object] = {
    "reward_window_s": 2.0,
    "allowed_lateness_s": 0.4,
    "early_skew_s": 0.2,
    "tick_interval_s": 0.2,
    "batch_wait_s": 0.05,
    "user_rate_limit": 400,
}
STARTED_WITHIN_S = 30.0
SETTLED_WITHIN_S = 90.0
PACE_S = 0.02

Environments = Mapping[str, Mapping[str, str]]


class Servers(Protocol):
    """Where the lineage lives: a whole stack, or a broker and a store that were put together."""

    @property
    def bootstrap_servers(self) -> str:
        """Kafka's ``host:port``."""

    @property
    def redis_url(self) -> str:
        """The store's URL."""


@dataclass(frozen=True)
class Pair:
    """The session's broker and a store of the test's own, for example."""

    bootstrap_servers: str
    redis_url: str


def make_lineage(
    servers: Servers, folder: Path, *, streaming: Mapping[str, object], **more: Mapping[str, object]
) -> Path:
    """Topics and store of a lineage of its own; returns its settings file. ``more``: other sections of the settings."""
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / "base.safetensors"
    base.write_bytes(make_base().heads)
    sections: dict[str, object] = {
        **more,
        "streaming": streaming,
        "serving": {"base": str(base)},
        "redis": {"url": servers.redis_url},
        "kafka": {
            "partitions": PARTITIONS,
            **more.get("kafka", {}),
            "bootstrap_servers": servers.bootstrap_servers,
            "topic_prefix": f"t{uuid.uuid4().hex[:8]}",
        },
    }
    config = folder / "ol0.json"
    config.write_text(json.dumps(sections))
    apply_topics(load_settings(config))
    return config


class Workers:
    """Feedback processes, each started again at once when it dies, by a thread that looks after them.

    Args:
        config: the settings file that each reads.
        members: their names in the group.
        environments: of a member, what goes over the settings file.
    """

    def __init__(self, config: Path, members: Sequence[str], environments: Environments | None = None) -> None:
        self._folder = config.parent
        environments = environments or {}
        self._ports = dict(zip(members, free_ports(len(members)), strict=True))
        commands = [
            Command(
                member,
                [sys.executable, "-m", "ol0", "feedback", "--config", str(config), "--member", member],
                self.log(member),
                self._environment(member, environments.get(member, {})),
            )
            for member in members
        ]
        # Deaths are what these tests are about: nobody learns from waiting ever longer.
        self._supervisor = Supervisor(commands, config=RestartConfig(longest_delay_s=0.2))
        self._killed: set[int] = set()
        self._done = Event()
        self._thread = Thread(target=self._supervisor.run, args=(self._done,), name="supervisor", daemon=True)

    def __enter__(self) -> Self:
        self._supervisor.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._supervisor.stop()

    @property
    def pids(self) -> Mapping[str, int]:
        """Those that run now, by name."""
        return self._supervisor.pids

    @property
    def restarts(self) -> Mapping[str, int]:
        """How often each was started again."""
        return self._supervisor.restarts

    def pid(self, member: str) -> int:
        """Its process id, as soon as it runs (again)."""
        wait_until(lambda: self.pids.get(member, 0) not in {0, *self._killed}, STARTED_WITHIN_S)
        return self.pids[member]

    def kill_9(self, member: str) -> None:
        """Ends it without a word; whoever is dead already has to come back first."""
        pid = self.pid(member)
        self._killed.add(pid)
        with contextlib.suppress(ProcessLookupError):  # it has just died of something else
            os.kill(pid, signal.SIGKILL)

    def send(self, member: str, number: signal.Signals) -> None:
        """A signal that it survives."""
        os.kill(self.pid(member), number)

    def is_ready(self, member: str) -> bool:
        """What its /readyz says."""
        with contextlib.suppress(OSError), urlopen(f"http://{LOOPBACK}:{self._ports[member]}/readyz", timeout=5) as it:
            return bool(it.status == HTTPStatus.OK)
        return False

    def log(self, member: str) -> Path:
        """Where a member's output goes."""
        return self._folder / f"feedback-{member}.log"

    def said(self, member: str) -> str:
        """What it has logged, and every one of that name before it."""
        return self.log(member).read_text()

    def _environment(self, member: str, own: Mapping[str, str]) -> Mapping[str, str]:
        return {**os.environ, **ONE_THREAD, "OL0_OBSERVABILITY__PORT": str(self._ports[member]), **own}


class World:
    """One lineage with traffic."""

    def __init__(self, servers: Servers, folder: Path, *, seed: int = 0, **sections: Mapping[str, object]) -> None:
        streaming = {**STREAMING, **sections.pop("streaming", {})}
        sections.setdefault("online_learning", {"replay_size": 700})
        self.folder = folder
        self.config = make_lineage(servers, folder, streaming=streaming, **sections)
        self.settings: Settings = load_settings(self.config)
        self.lineage = Lineage.of(self.settings.kafka)
        self.redis = connect(self.settings.redis)
        self.traffic = Traffic(self.settings, seed)
        self._store = ReplayStore(self.redis, self.prefix)
        self._stop = Event()
        self._thread: Thread | None = None

    @property
    def prefix(self) -> str:
        return self.settings.kafka.topic_prefix

    def workers(self, count: int = 2, environments: Environments | None = None) -> Workers:
        return Workers(self.config, [str(number) for number in range(count)], environments)

    def counters(self) -> Counters:
        return self._store.counters()

    def start_traffic(self, decisions_per_s: float) -> None:
        """Decides in a thread until ``stop_traffic``."""
        each = max(1, round(decisions_per_s * PACE_S))

        def run() -> None:
            while not self._stop.wait(each / decisions_per_s):
                self.traffic.decide(each)
                self.traffic.send_due()

        self._stop.clear()
        self._thread = Thread(target=run, name="traffic", daemon=True)
        self._thread.start()

    def stop_traffic(self) -> None:
        """Ends deciding."""
        assert self._thread is not None
        self._stop.set()
        self._thread.join()
        self.finish_traffic()

    def finish_traffic(self) -> None:
        """Sends whatever is still to be said, and waits until the broker has it."""

        def all_sent() -> bool:
            self.traffic.send_due()
            return not self.traffic.waiting

        wait_until(all_sent, 30)
        self.traffic.flush()

    def wait_for(self, condition: Callable[[Counters], object], within_s: float = SETTLED_WITHIN_S) -> None:
        wait_until(lambda: condition(self.counters()), within_s)

    def wait_for_more_decisions(self, count: int) -> None:
        """Waits until so many decisions, and one more, have come into the store."""
        before = self.counters().decisions
        self.wait_for(lambda counters: counters.decisions > before + count)

    def wait_for_more_sent(self, count: int) -> None:
        """Waits until so many records more have been sent."""
        before = self.traffic.decisions + self.traffic.feedback
        wait_until(lambda: self.traffic.decisions + self.traffic.feedback > before + count, SETTLED_WITHIN_S)

    def next_offsets(self) -> Mapping[bytes, int]:
        """Where every partition goes on, by the store."""
        meta = cast("dict[bytes, bytes]", self.redis.hgetall(store_key(self.prefix, Key.META)))
        return {name: int(value) for name, value in meta.items() if name.startswith(b"next:")}

    def ring(self) -> bytes:
        """The entries of the ring, as they are."""
        return cast("bytes", self.redis.get(store_key(self.prefix, Key.ENTRIES)))

    def settle(self, within_s: float = SETTLED_WITHIN_S) -> None:
        """Waits until everything that was sent is in the store, every window is closed and every outcome published."""

        def settled(counters: Counters) -> bool:
            sent = (self.traffic.decisions, self.traffic.feedback)
            come = (counters.decisions, counters.feedback) == sent
            return come and not (
                counters.open or counters.waiting or self.redis.xlen(store_key(self.prefix, Key.OUTBOX))
            )

        self.wait_for(settled, within_s)

    def audit(self) -> Audit:
        """The two assertions at the end of every fault; the workers have stopped."""
        found = Auditor(self.settings, self.folder / "audit").audit()
        assert not found.problems, "\n".join(found.problems[:20])
        assert (found.decisions, found.feedback) == (self.traffic.decisions, self.traffic.feedback)
        assert found.examples > self.settings.online_learning.replay_size, "the ring has not gone round"
        return found
