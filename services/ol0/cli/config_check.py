"""The checks of ``ol0 config check``: impossible settings, missing files, and what the servers say."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from ol0.canary.size import check_suite_size
from ol0.config import FORMER_KEY, KNOWN_KEY, HostKey, Settings
from ol0.controller.checkpoint import read_base
from ol0.controller.signing import Keyring
from ol0.controller.suite import read_suite
from ol0.errors import ConfigError, ContractError, OL0Error, StreamError
from ol0.kafka import topic_admin
from ol0.kafka.broker_probe import count_brokers
from ol0.kafka.lineage import Lineage
from ol0.kafka.topic_changes import CreateTopic, MorePartitions
from ol0.kafka.topic_readers.compacted_reader import CompactedReader
from ol0.observability.health import check_address
from ol0.operator.evaluation import evaluator_report
from ol0.records import Arm, ServingState, brief
from ol0.replay.budget import Budget
from ol0.replay.connection import connect
from ol0.replay.server_checks import check_memory, open_store
from ol0.replay.stats import read_stats
from ol0.replay.store import ReplayStore
from ol0.supervisor.service_commands import SERVICES

NOT_YET: Final = "not yet"
DIFFERS: Final = "differs"
WEAK: Final = "weak"
READ_S: Final = 10.0
ENOUGH_DECISIONS: Final = 1_000
"""Decisions above which the share of an arm shows the holdback of the hosts."""
ANOTHER_SHARE: Final = 1.5
"""Factor above which the shares differ. Sessions have several decisions, so shares of decisions vary."""

Finding = tuple[str, str]
"""``NOT_YET``, ``DIFFERS`` or ``WEAK``, and a sentence."""


def refuse_impossible(settings: Settings) -> None:
    """Builds every client that a service builds and opens every file that exists. Contacts no server.

    Raises:
        ConfigError: a client cannot be built, or a file does not match its setting.
    """
    Lineage.of(settings.kafka).clients.check()
    connect(settings.redis)
    Keyring.of(settings.security, settings.kafka.topic_prefix, *settings.security.signing)
    check_address(settings.observability, len(SERVICES))
    _check_files(settings)


def _check_files(settings: Settings) -> None:
    base_path, suite_path = settings.serving.base, settings.safety.suite
    base = read_base(base_path) if base_path is not None and base_path.exists() else None
    suite = read_suite(suite_path) if suite_path is not None and suite_path.exists() else None
    if base is None or suite is None:
        return
    if flaw := suite.misfit(base):
        raise ConfigError(
            f"serving.base {base_path} does not match safety.suite {suite_path}: {flaw}; "
            "`ol0 warmup` writes a matching pair"
        )
    check_suite_size(suite.best, settings.safety)
    share, threshold = suite.share(base), settings.warmup.canary_threshold
    if share < threshold:
        raise ConfigError(
            f"warmup.canary_threshold {threshold}: the base scores {share:.3f} on safety.suite, so canary would "
            "reject it; lower the threshold if these prompts allow no more"
        )


def missing(settings: Settings) -> Iterator[Finding]:
    """Yields the files that a warm-up still has to write and the keys that hosts lack, with who needs them."""
    files = {
        "serving.base": (settings.serving.base, "feedback and every host"),
        "safety.suite": (settings.safety.suite, "canary and drift"),
    }
    for name, (path, who) in files.items():
        if path is None:
            text = f"{name} is not set, and {who} cannot start without it: `ol0 warmup` writes the file"
            yield NOT_YET, text
        elif not path.exists():
            yield NOT_YET, f"{name} {path} does not exist, and {who} cannot start without it: `ol0 warmup` writes it"
    for key in HostKey:
        if key not in settings.serving.keys:
            yield NOT_YET, f"serving.{key} is not set, and no host can start without it: `ol0 keys host` prints one"
        elif settings.serving.keys[key] == FORMER_KEY:
            yield WEAK, f"serving.{key} is {FORMER_KEY!r}, the default of earlier versions: {KNOWN_KEY}"


def ask_servers(settings: Settings) -> Iterator[Finding]:
    """Yields where the broker, the store or a running lineage contradict the settings, or do not answer.

    Raises:
        ConfigError: the settings name a server that cannot serve a lineage.
    """
    for look in (_look_at_log, _look_at_store):
        try:
            yield from look(settings)
        except ConfigError:
            raise
        except OL0Error as error:
            yield DIFFERS, str(error)


def _look_at_log(settings: Settings) -> Iterator[Finding]:
    lineage = Lineage.of(settings.kafka)
    brokers, wanted = count_brokers(lineage.clients), settings.kafka.replication
    if wanted > brokers:
        yield DIFFERS, f"kafka.replication is {wanted}, but the cluster has {brokers}: no topic can be created"
    changes = topic_admin.plan(settings)
    for change in changes:
        if isinstance(change, MorePartitions):
            yield DIFFERS, str(change)
    if due := sum(not isinstance(change, MorePartitions) for change in changes):
        yield NOT_YET, f"`ol0 topics apply` would make {due} changes; `ol0 topics diff` lists them"
    if not any(isinstance(change, CreateTopic) for change in changes):
        yield from _look_at_base(settings.serving.base, lineage)
        yield from _look_at_holdback(settings)


def _look_at_base(path: Path | None, lineage: Lineage) -> Iterator[Finding]:
    if path is None or not path.exists():
        return
    with CompactedReader("releases", lineage) as reader:
        state = reader.read_to_end(READ_S).get("serving")
    if isinstance(state, ServingState) and state.base.digest != read_base(path).digest:
        text = (
            f"serving.base {path} is {brief(read_base(path).digest)}, but this lineage runs with base "
            f"{brief(state.base.digest)}: set serving.base to that file, or start a new lineage with another "
            "kafka.topic_prefix"
        )
        yield DIFFERS, text


def _look_at_holdback(settings: Settings) -> Iterator[Finding]:
    try:
        arms = json.loads(evaluator_report(settings))["arms"]
    except (StreamError, ContractError):
        return  # nothing has been evaluated yet
    decisions = {Arm(arm): int(figures["decisions"]) for arm, figures in arms.items()}
    yield from compare_holdback(settings.serving.holdback, decisions)


def compare_holdback(declared: float, decisions: Mapping[Arm, int]) -> Iterator[Finding]:
    """Compares the holdback share in the settings with the share of decisions that hosts logged in the holdback."""
    total = sum(decisions.values())
    found = decisions.get(Arm.HOLDBACK, 0) / max(total, 1)
    if total >= ENOUGH_DECISIONS and not declared / ANOTHER_SHARE <= found <= declared * ANOTHER_SHARE:
        text = (
            f"serving.holdback is {declared}, but {found:.3f} of the {total:,} decisions so far were in the holdback: "
            "set the same value in all services and hosts; earlier measurements hold for the earlier share"
        )
        yield DIFFERS, text


def _look_at_store(settings: Settings) -> Iterator[Finding]:
    prefix = settings.kafka.topic_prefix
    client = open_store(settings.redis, prefix)
    base = settings.serving.base
    if base is not None and base.exists():
        check_memory(client, Budget.of(settings, read_base(base).dimension))
    if not ReplayStore(client, prefix).exists():
        return
    capacity = read_stats(client, prefix).capacity
    if capacity != settings.online_learning.replay_size:
        text = (
            f"online_learning.replay_size is {settings.online_learning.replay_size:,}, but the ring has {capacity:,} "
            "slots: set it back, or rebuild the store with `ol0 replay rebuild`"
        )
        yield DIFFERS, text
