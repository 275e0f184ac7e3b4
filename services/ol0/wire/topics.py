"""The topics of a lineage: what ``schemas/topics.toml`` declares, full names, and which record goes where."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from importlib.resources import files
from typing import Literal

from ol0.errors import ConfigError, StreamError
from ol0.records import (
    Candidate,
    Chunk,
    Decision,
    Gate,
    ImplicitFeedback,
    OperatorCommand,
    OperatorKind,
    Outcome,
    Record,
    ServingState,
    Snapshot,
    Tick,
    ToolFeedback,
    Transition,
    UserFeedback,
    Verdict,
)

DAY_MS = 86_400_000
KAFKA_MESSAGE_BYTES = 1_048_588
"""The broker's own default of ``max.message.bytes``: 1 MiB and the overhead of a batch."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as declared. ``retention_ms`` None: for ever. ``records``: names of the schemas that it carries."""

    name: str
    records: tuple[str, ...]
    key: str
    partitions: int
    compacted: bool
    retention_ms: int | None
    timestamps: Literal["CreateTime", "LogAppendTime"]
    max_message_bytes: int
    dead_letters: bool


@dataclass(frozen=True, slots=True)
class Route:
    """Where a record goes: full topic name, key, and the partition where the key's hash does not choose it."""

    topic: str
    key: bytes
    partition: int | None = None


@dataclass(frozen=True)
class Topics:
    """The topics of the lineage ``prefix``; ``overrides`` sets partition counts by logical name.

    Raises:
        ConfigError: an override names no topic, or too few partitions.
    """

    prefix: str
    overrides: Mapping[str, int] = field(default_factory=dict)
    specs: Mapping[str, TopicSpec] = field(init=False)

    def __post_init__(self) -> None:
        specs = load_specs()
        for name, partitions in self.overrides.items():
            if name not in specs or partitions < 1:
                known = ", ".join(specs)
                raise ConfigError(f"kafka.partitions.{name} = {partitions}: at least 1, for one of {known}")
            if name == "verdicts" and partitions < len(Gate):
                raise ConfigError(
                    f"kafka.partitions.verdicts = {partitions}: each of {len(Gate)} gates has one of its own"
                )
            specs[name] = replace(specs[name], partitions=partitions)
        object.__setattr__(self, "specs", specs)

    def full(self, name: str) -> str:
        """``decisions`` -> ``ol0.decisions.v1``."""
        return f"{self.prefix}.{self.spec(name).name}.v1"

    def dead_letter(self, name: str) -> str:
        """``decisions`` -> ``ol0.decisions.v1.dlq``."""
        return f"{self.full(name)}.dlq"

    def spec(self, name: str) -> TopicSpec:
        """The declaration of a topic, by its logical name.

        Raises:
            StreamError: topics.toml declares no such topic.
        """
        if name not in self.specs:
            raise StreamError(f"{name!r} is no topic: schemas/topics.toml declares {', '.join(self.specs)}")
        return self.specs[name]

    def logical(self, full: str) -> str:
        """``ol0.decisions.v1`` -> ``decisions``.

        Raises:
            StreamError: the topic is not one of this lineage.
        """
        name = full.removeprefix(f"{self.prefix}.").removesuffix(".v1")
        if name not in self.specs or full != self.full(name):
            raise StreamError(f"{full!r} is no topic of the lineage {self.prefix!r}")
        return name

    def route(self, record: Record) -> Route:  # noqa: C901, PLR0911, PLR0912 - one line for each record there is
        """Where ``record`` goes.

        Raises:
            StreamError: a tick: it may be in any topic, so its sender names topic and partition.
        """
        match record:
            case Decision(session_id=key):
                return self._route("decisions", key)
            case UserFeedback(session_id=key):
                return self._route("feedback.user", key)
            case ToolFeedback(session_id=key):
                return self._route("feedback.tool", key)
            case ImplicitFeedback(session_id=key):
                return self._route("feedback.implicit", key)
            case Outcome(session_id=key):
                return self._route("outcomes", key)
            case Candidate(digest=key):
                return self._route("candidates", key)
            case Verdict(gate=gate):
                # Each gate writes to its own partition, so that neither holds back the other's readers.
                return self._route("verdicts", gate, list(Gate).index(gate))
            case ServingState():
                return self._route("releases", "serving")
            case Transition(digest=key):
                return self._route("transitions", key)
            case OperatorCommand():
                return self._route("operator", _operator_key(record))
            case Snapshot(service=key):
                return self._route("state", key)
            case Chunk(digest=key):
                return self._route("tensors", key)
            case Tick():
                raise StreamError("a tick has no topic of its own: send it with send_to(record, topic, partition)")

    def _route(self, name: str, key: str, partition: int | None = None) -> Route:
        return Route(self.full(name), key.encode(), partition)


def _operator_key(command: OperatorCommand) -> str:
    """A key for each order: compaction keeps the newest of a key, and an unread order must not be the older one.

    A user who is forgotten has one key, however often that is ordered. Orders are few, and stay for ever.
    """
    if command.kind is OperatorKind.FORGET:
        return f"forget/{command.value}"
    what = f"{command.value}/{command.actor}/{command.reason}".encode()
    return f"{command.kind.value}/{command.time_ms}/{blake2b(what, digest_size=4).hexdigest()}"


def load_specs() -> dict[str, TopicSpec]:
    """Reads ``schemas/topics.toml``: logical name -> declaration."""
    text = (files("ol0") / "schemas" / "topics.toml").read_text(encoding="utf-8")
    return {name: _spec(name, table) for name, table in tomllib.loads(text).items()}


def _spec(name: str, table: Mapping[str, object]) -> TopicSpec:
    """One table of topics.toml; a missing, unknown or mistyped entry is a fault of the package, not of its user."""
    match table:
        case {
            "records": [*records],
            "key": str(key),
            "partitions": int(partitions),
            "retention": int() | "forever" | "compact" as retention,
            "timestamps": "CreateTime" | "LogAppendTime" as timestamps,
            "dead_letters": bool(dead_letters),
            **rest,
        } if not rest.keys() - {"max_message_bytes"}:
            limit = rest.get("max_message_bytes", KAFKA_MESSAGE_BYTES)
        case _:
            raise ConfigError(f"schemas/topics.toml, [{name}]: {dict(table)} is not of the form in its head")
    return TopicSpec(
        name=name,
        records=tuple(map(str, records)),
        key=key,
        partitions=partitions,
        compacted=retention == "compact",
        retention_ms=retention * DAY_MS if isinstance(retention, int) else None,
        timestamps="LogAppendTime" if timestamps == "LogAppendTime" else "CreateTime",
        max_message_bytes=int(str(limit)),
        dead_letters=dead_letters,
    )
