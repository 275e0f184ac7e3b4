"""What ``ol0 config check`` looks at: what no service could start with, what is still missing, what the servers say."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from ol0.canary.size import check_suite_size
from ol0.config import Settings
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
from ol0.records import Arm, ServingState
from ol0.replay.budget import Budget
from ol0.replay.connection import connect
from ol0.replay.server_checks import check_memory, open_store
from ol0.replay.stats import read_stats
from ol0.replay.store import ReplayStore
from ol0.supervisor.service_commands import SERVICES

NOT_YET: Final = "not yet"
DIFFERS: Final = "differs"
READ_S: Final = 10.0
ENOUGH_DECISIONS: Final = 1_000
"""From here on the share of an arm says what the hosts' holdback is."""
ANOTHER_SHARE: Final = 1.5
"""By this factor it is another one: sessions are of several decisions, so shares of decisions scatter."""

Finding = tuple[str, str]
"""``NOT_YET`` or ``DIFFERS``, and a sentence."""


def refuse_impossible(settings: Settings) -> None:
    """Makes every client that a service makes, and opens every file that is there. Asks no server.

    Raises:
        ConfigError: one cannot be made, or a file is not what the setting says.
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
            f"serving.base {base_path} does not fit safety.suite {suite_path}: {flaw}; `ol0 warmup` writes two that fit"
        )
    check_suite_size(suite.best, settings.safety)
    share, threshold = suite.share(base), settings.warmup.canary_threshold
    if share < threshold:
        raise ConfigError(
            f"warmup.canary_threshold {threshold}: the base is worth {share:.3f} of safety.suite, so that canary would "
            "refuse it; lower the threshold, if this is what the prompts allow"
        )


def missing(settings: Settings) -> Iterator[Finding]:
    """What a warm-up has still to bring, for which service."""
    files = {
        "serving.base": (settings.serving.base, "feedback and every host"),
        "safety.suite": (settings.safety.suite, "canary and drift"),
    }
    for name, (path, who) in files.items():
        if path is None:
            text = f"{name} names no file, and {who} cannot start without: `ol0 warmup` writes it, and says what to set"
            yield NOT_YET, text
        elif not path.exists():
            yield NOT_YET, f"{name} {path} is not there, and {who} cannot start without: `ol0 warmup` writes it"


def ask_servers(settings: Settings) -> Iterator[Finding]:
    """Where broker, store and a running lineage are not as the settings have them, or do not answer.

    Raises:
        ConfigError: the settings lead to a server that cannot be one of a lineage.
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
        yield DIFFERS, f"kafka.replication is {wanted}, and the brokers are {brokers}: no topic can be made"
    changes = topic_admin.plan(settings)
    for change in changes:
        if isinstance(change, MorePartitions):
            yield DIFFERS, str(change)
    if due := sum(not isinstance(change, MorePartitions) for change in changes):
        yield NOT_YET, f"`ol0 topics apply` has {due} changes to make; `ol0 topics diff` says which"
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
            f"serving.base {path} is {read_base(path).digest[:12]}, and this lineage runs with the base "
            f"{state.base.digest[:12]}: name that file, or begin anew under another kafka.topic_prefix"
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
    """Whether hosts assign the share to the holdback that the settings have, by what has become of decisions."""
    total = sum(decisions.values())
    found = decisions.get(Arm.HOLDBACK, 0) / max(total, 1)
    if total >= ENOUGH_DECISIONS and not declared / ANOTHER_SHARE <= found <= declared * ANOTHER_SHARE:
        text = (
            f"serving.holdback is {declared}, and {found:.3f} of the {total:,} decisions so far were in the holdback: "
            "all services and all hosts have to have the same, and what was measured before holds for the share before"
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
            f"online_learning.replay_size is {settings.online_learning.replay_size:,}, and the ring has {capacity:,} "
            "slots: set it back, or make the store anew with `ol0 replay rebuild`"
        )
        yield DIFFERS, text
