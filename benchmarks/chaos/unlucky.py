"""A second lineage, all of whose services run, and whose broker loses what was written.

What was lost cannot be audited byte for byte, so the question is another one: does every service go on by itself, and
does what comes afterwards count?
"""

import contextlib
import json
import os
import random
import signal
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Final, Self

from confluent_kafka import TopicPartition

from ol0.clock import wall_clock_ms
from ol0.config import load_settings
from ol0.errors import OL0Error
from ol0.kafka.transactional_writer import read_snapshots
from ol0.operator.setup.lineage import apply_topics
from ol0.sdk.options import Options
from ol0.sdk.router import Router
from ol0.simulation.services import Services
from ol0.simulation.users import UserHabits, Users
from ol0.stacks.native import NativeStack
from testbed.lineages import Place, bring_in
from testbed.processes import ol0
from testbed.restarts import restart_kafka
from testbed.waiting import wait_until

RATE_PER_S: Final = 40.0
FOR_EVER: Final = 10**9
TIMEOUT_S: Final = 30.0
PAUSED_S: Final = 3.0
CUT: Final = 0.5
"""Of the newest segment of a partition, what is left."""
BACK_WITHIN_S: Final = 240.0
CLOSED_WITHIN_S: Final = 15.0
SAMPLED: Final = ("decisions", "feedback.user", "feedback.tool", "outcomes")
SHARES: Final = (0.2, 0.3, 0.4)
HOLDBACKS: Final = (0.1, 0.2)
TREE: Final[Mapping[str, Mapping[str, object]]] = {
    "streaming": {"reward_window_s": 2.0, "allowed_lateness_s": 0.5, "batch_wait_s": 0.1},
    "safety": {"stages": [{"share": SHARES[0]}], "session_gap_s": 2.0, "cooldown_s": 5.0, "max_stage": 2_000},
    "serving": {"holdback": HOLDBACKS[0]},
    "online_learning": {"min_replay": 200},
    "kafka": {"replication": 1},  # one copy: what is cut off is lost
}


class Unlucky:
    """The lineage, its services and its host.

    Args:
        stack: broker and store; others may use them too.
        folder: for settings and logs.
        rng: draws shares and partitions.

    Attributes:
        problems: what did not come back by itself.
        alone: held by whoever stops brokers, or gives them orders.
        recoveries_s: for each kind of fault, how long every service took to count what came after it.
    """

    def __init__(self, stack: NativeStack, folder: Path, rng: random.Random) -> None:
        self._stack, self._rng = stack, rng
        self.alone = Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._place: Place = bring_in(stack, folder, TREE)
        self._services = Services(self._place.config, folder / "logs", lambda _: None)
        self._host = Host(self._place)
        self.problems: list[str] = []
        self.recoveries_s: dict[str, list[float]] = {}

    def __enter__(self) -> Self:
        self._services.__enter__()
        self._services.wait_for_release(self._place.settings, BACK_WITHIN_S)
        self._host.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._host.stop()
        self._services.__exit__()

    @property
    def kinds(self) -> Mapping[str, Callable[[], None]]:
        """By what the log of the run says."""
        return {
            "a topic is deleted and made anew": self._recreate,
            "records expire unread": self._expire,
            "the broker's log is cut": self._cut,
            "another share and another holdback": self._change_shares,
        }

    @property
    def restarts(self) -> Mapping[str, int]:
        """How often each service was started again."""
        return self._services.restarts

    @property
    def pids(self) -> Mapping[str, int]:
        """Its services that run now."""
        return self._services.pids

    def settle(self, kind: str) -> float:
        """Waits until every service counts what happens after this moment; notes what does not come back.

        Returns how long that took, in seconds.
        """
        began, now_ms = time.monotonic(), wall_clock_ms()
        reached_ms = now_ms + round(1000 * self._place.settings.streaming.reward_window_s)
        try:
            self._services.check()
            wait_until(lambda: self._reached(reached_ms), BACK_WITHIN_S)
        except (AssertionError, OL0Error) as error:
            behind = {name: reached_ms - (time_ms or 0) for name, time_ms in self._times_ms().items()}
            self.problems.append(f"{kind}: {error}; behind by {behind} ms")
        took_s = round(time.monotonic() - began, 1)
        self.recoveries_s.setdefault(kind, []).append(took_s)
        return took_s

    def finish(self) -> None:
        """An order must still be obeyed, and the host's records must add up."""
        for order in ("freeze", "thaw"):
            said = ol0("releases", order, "--config", self._place.config)
            if said.returncode:
                self.problems.append(f"releases {order}: {said.stdout[-300:]} {said.stderr[-300:]}")
        self._host.stop()
        self.problems += self._host.problems

    def _reached(self, time_ms: int) -> bool:
        self._services.check()
        return all(reached is not None and reached >= time_ms for reached in self._times_ms().values())

    def _times_ms(self) -> Mapping[str, int | None]:
        """How far event time has come for those that read outcomes; None where nobody knows, or the broker is away."""
        try:
            snapshots = read_snapshots("", self._place.lineage())
        except OL0Error:
            return dict.fromkeys(CLOCKS)
        return {name: clock(snapshots[name].body) if name in snapshots else None for name, clock in CLOCKS.items()}

    def _recreate(self) -> None:
        topic = self._topic(SAMPLED)
        admin = self._place.lineage().clients.admin()
        with self.alone:  # an operator waits until there are brokers to take orders
            admin.delete_topics([topic])[topic].result(TIMEOUT_S)
            wait_until(lambda: topic not in admin.list_topics(timeout=TIMEOUT_S).topics, TIMEOUT_S)
            apply_topics(self._place.settings)

    def _expire(self) -> None:
        """Whoever reads the topic stands still, and what comes meanwhile is gone when it goes on."""
        name = self._rng.choice(("outcomes", "decisions", "feedback.user"))
        readers = ("canary", "drift", "evaluator") if name == "outcomes" else ("feedback",)
        with self._standing_still(readers):
            time.sleep(PAUSED_S)
            with self.alone:
                self._delete_records(self._place.lineage().topics.full(name))

    @contextmanager
    def _standing_still(self, services: Sequence[str]) -> Iterator[None]:
        pids = [pid for name, pid in self._services.pids.items() if name in services]
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _delete_records(self, topic: str) -> None:
        """Everything that the topic has now."""
        clients = self._place.lineage().clients
        admin = clients.admin()
        numbers = sorted(admin.list_topics(topic, TIMEOUT_S).topics[topic].partitions)
        ends = [TopicPartition(topic, n, end) for n, (_, end) in clients.bounds(topic, numbers, TIMEOUT_S).items()]
        for answer in admin.delete_records(ends).values():
            answer.result(TIMEOUT_S)

    def _cut(self) -> None:
        """All brokers die, and the end of what they had written of one topic never reached the disk."""
        topic = self._topic(SAMPLED)
        with self.alone:
            self._cut_logs_of(topic)

    def _cut_logs_of(self, topic: str) -> None:
        for broker in self._stack.brokers:
            os.kill(broker.pid, signal.SIGKILL)
        for broker in self._stack.brokers:
            broker.stop()
            for partition in broker.data.glob(f"{topic}-[0-9]*"):
                newest = max(partition.glob("*.log"))
                os.truncate(newest, int(newest.stat().st_size * CUT))
        restart_kafka(self._stack)

    def _change_shares(self) -> None:
        """An operator edits the settings and starts everything anew, the host too."""
        tree = json.loads(self._place.config.read_text())
        tree["safety"]["stages"] = [{"share": self._rng.choice(SHARES)}]
        tree["serving"]["holdback"] = self._rng.choice(HOLDBACKS)
        self._host.stop()
        self._place.config.write_text(json.dumps(tree))
        for pid in self._services.pids.values():
            os.kill(pid, signal.SIGTERM)
        self._host = Host(self._place, self._host.problems)
        self._host.start()

    def _topic(self, names: Sequence[str]) -> str:
        return self._place.lineage().topics.full(self._rng.choice(names))


class Host:
    """Users who ask through the SDK, in a thread, until it is stopped; then every record is accounted for.

    Args:
        place: its lineage, settings as they are in the file now.
        problems: of the hosts before it.
    """

    def __init__(self, place: Place, problems: Sequence[str] = ()) -> None:
        self.problems = list(problems)
        self._router = Router.open(load_settings(place.config), Options(wait_s=TIMEOUT_S))
        stream = place.split.stream
        habits = UserHabits(rate_per_s=RATE_PER_S, delay_s=0.2)
        self._users = Users(self._router, stream, stream, habits, seed=0)
        self._end = Event()
        self._thread = Thread(target=self._users.run, args=(FOR_EVER, self._end), name="host", daemon=True)

    def start(self) -> None:
        """People begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Nobody asks any more; a second call does nothing."""
        if self._end.is_set():
            return
        self._end.set()
        self._thread.join()
        began = time.monotonic()
        self._router.close()
        if (took_s := time.monotonic() - began) > CLOSED_WITHIN_S:
            self.problems.append(f"the router took {took_s:.0f} s to close")


def _canary_ms(body: bytes) -> int | None:
    return _clock_ms(json.loads(zlib.decompress(body)))


def _drift_ms(body: bytes) -> int | None:
    return _clock_ms(json.loads(body))


def _evaluator_ms(body: bytes) -> int | None:
    return _clock_ms(json.loads(body)["state"])


def _clock_ms(state: Mapping[str, Mapping[str, int | None]]) -> int | None:
    return state["clock"]["time_ms"]


CLOCKS: Final[Mapping[str, Callable[[bytes], int | None]]] = {
    "canary": _canary_ms,
    "drift": _drift_ms,
    "evaluator": _evaluator_ms,
}
