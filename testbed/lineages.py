"""Lineages of their own on the session's Kafka and Valkey: settings, a base that is known, and processes.

A prompt is one of six *kinds*, its features the unit vector of that kind with some noise. The base masters the old
kinds 0 to 2, whose good expert has the number of the kind. For the new kinds every expert does, but for expert 3,
which is good for nothing; the base never learnt to take it.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Self, TypeVar

import numpy as np

from ol0.config import Settings, load_settings
from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.controller import Controller
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.record_sender import RecordSender
from ol0.kafka.topic_readers.log_reader import LogReader
from ol0.operator.setup.lineage import apply_topics, warm_up
from ol0.operator.setup.prompts import Prompts, Split, split_prompts
from ol0.records import Arm, Decision, DecisionId, FeaturesDtype, Record, Tick
from ol0.replay.connection import connect
from ol0.replay.counters import Counters
from ol0.replay.store import ReplayStore
from ol0.supervisor.service_commands import service_commands
from ol0.supervisor.supervisor import Event as ServiceEvent
from ol0.supervisor.supervisor import EventKind, Supervisor
from testbed.faults.world import Servers

KINDS = 6
OLD_SHARES = (0.48, 0.48, 0.04)
RARE_KIND = 2
NEW_KINDS = (3, 4, 5)
EXPERTS = 4
USELESS = 3
SOURCES = ("decisions", "feedback.user", "feedback.tool", "feedback.implicit")
KEYS = {"arm_key": "of a test", "user_key": "of a test"}
PARTITIONS = {**dict.fromkeys(SOURCES, 1), "outcomes": 1}

Tree = Mapping[str, Mapping[str, object]]
R = TypeVar("R", bound=Record)


def small_prompts() -> tuple[Prompts, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """8,000 prompts of old kinds and 2,000 of new ones, and which are old."""
    rng = np.random.default_rng(0)
    kinds = np.concatenate([rng.choice(len(OLD_SHARES), 8_000, p=OLD_SHARES), rng.choice(NEW_KINDS, 2_000)])
    features = np.eye(KINDS)[kinds] + rng.normal(0, 0.05, (len(kinds), KINDS))
    success = np.full((len(kinds), EXPERTS), 0.8)
    success[kinds < len(OLD_SHARES)] = 0.1
    old = kinds < len(OLD_SHARES)
    success[old, kinds[old]] = 0.9
    success[:, USELESS] = 0.1
    names = np.array([f"kind-{kind}" for kind in kinds])
    return Prompts(features.astype(np.float32), success.astype(np.float32), names), old


def small_split() -> Split:
    return split_prompts(*small_prompts(), seed=0)


@dataclass(frozen=True)
class Place:
    """A lineage that exists: its settings, also as a file, and the base that was offered."""

    config: Path
    settings: Settings
    base: Controller
    base_bytes: bytes
    split: Split

    @property
    def prefix(self) -> str:
        return self.settings.kafka.topic_prefix

    def lineage(self) -> Lineage:
        return Lineage.of(self.settings.kafka)

    def counters(self) -> Counters:
        return ReplayStore(connect(self.settings.redis), self.prefix).counters()

    def decision(self, number: int, time_ms: int) -> Decision:
        """What the base took for a prompt of the stream, in a session of its own."""
        features = self.split.stream.features[number]
        action = tuple(self.base.greedy(features[None])[0].tolist())
        return Decision(
            decision_id=DecisionId(str(uuid.uuid4())),
            session_id=f"session-{number}",
            turn=0,
            user=None,
            time_ms=time_ms,
            digest=self.base.digest,
            arm=Arm.LIVE,
            staged=None,
            serving_sequence=1,
            features=features.astype("<f4").tobytes(),
            features_dtype=FeaturesDtype.FLOAT32,
            action=action,
            propensity=(0.925,),
            greedy_base=action,
            greedy_live=action,
        )

    def pass_windows(self, time_ms: int) -> None:
        """With ``streaming.clock = "ticks"``: move event time past the windows of what was decided until then."""
        streaming, topics = self.settings.streaming, self.lineage().topics
        later_s = streaming.reward_window_s + streaming.allowed_lateness_s + streaming.early_skew_s + 1
        places = [(topics.full(name), number) for name in SOURCES for number in range(topics.spec(name).partitions)]
        RecordSender(self.lineage()).send_ticks(Tick(time_ms + round(1000 * later_s)), places)


def write_settings(servers: Servers, folder: Path, tree: Tree) -> Path:
    """A settings file for a lineage of its own on these servers.

    Its learner offers also what is no better than what serves: what few examples teach is no matter of these tests.
    """
    kafka = {
        "partitions": PARTITIONS,
        **tree.get("kafka", {}),
        "bootstrap_servers": servers.bootstrap_servers,
        "topic_prefix": f"t{uuid.uuid4().hex[:8]}",
    }
    sections = {
        **tree,
        "kafka": kafka,
        "redis": {"url": servers.redis_url},
        "online_learning": {"lead_errors": 0.0, **tree.get("online_learning", {})},
        "serving": {**KEYS, **tree.get("serving", {}), "base": str(folder / "base.safetensors")},
        "safety": {**tree.get("safety", {}), "suite": str(folder / "suite.safetensors")},
    }
    path = folder / "ol0.json"
    path.write_text(json.dumps(sections))
    return path


def bring_in(servers: Servers, folder: Path, tree: Tree) -> Place:
    """Topics, store, anchors, and a base that asks to serve."""
    config = write_settings(servers, folder, tree)
    settings, split = load_settings(config), small_split()
    apply_topics(settings)
    warm_up(settings, split, folder, seed=0)
    data = (folder / "base.safetensors").read_bytes()
    return Place(config, settings, read_checkpoint(data), data, split)


@contextmanager
def services(place: Place, names: Sequence[str], port: int = 0) -> Iterator[None]:
    """These services as processes, with health and metrics from ``port`` on. None of them may die before the end."""
    deaths: list[str] = []

    def note(event: ServiceEvent) -> None:
        if event.kind is not EventKind.STARTED:
            deaths.append(f"{event.name} {event.kind.value}: {event.text}")

    done = Event()
    commands = [one for one in service_commands(place.config, place.config.parent / "logs", port) if one.name in names]
    with Supervisor(commands, on_event=note) as supervisor:
        thread = Thread(target=supervisor.run, args=(done,))
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
    assert not deaths, "\n".join(deaths)


class Journal:
    """Everything that topics of a lineage say, from their beginning, in the order of reading."""

    def __init__(self, settings: Settings, *names: str) -> None:
        self.records: list[Record] = []
        self._follower = LogReader(settings, names)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._follower.close()

    def all(self, kind: type[R], which: Callable[[R], bool] = lambda _: True) -> list[R]:
        """What was read of this kind so far."""
        return [record for record in self.records if isinstance(record, kind) and which(record)]

    def first(self, kind: type[R], which: Callable[[R], bool] = lambda _: True, *, within_s: float = 30.0) -> R:
        """The first such record, as soon as it is there."""
        return self.at_least(1, kind, which, within_s=within_s)[0]

    def at_least(
        self, count: int, kind: type[R], which: Callable[[R], bool] = lambda _: True, *, within_s: float = 30.0
    ) -> list[R]:
        """Such records, as soon as there are so many."""
        deadline_s = monotonic() + within_s
        while len(found := self.all(kind, which)) < count:
            assert monotonic() < deadline_s, f"{len(found)} of {count} {kind.__name__} in {within_s:g} s\n{self}"
            self.records += [record for _, record, _ in self._follower.poll()]
        return found

    def __str__(self) -> str:
        return "\n".join(f"{record!r:.400}" for record in self.records[-40:])
