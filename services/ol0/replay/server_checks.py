"""The settings of a server without which it would lose examples."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

import structlog
from redis import Redis

from ol0.config import RedisConfig, StoreRisk
from ol0.errors import ConfigError, StoreError
from ol0.replay.budget import Budget
from ol0.replay.connection import connect
from ol0.replay.layout import Key, store_key
from ol0.replay.script_runner import store_errors

OLDEST: Final = 7
"""Major version of the first Redis whose scripts have flags, as Valkey's have: what frees memory runs in a full one."""
COSTS: Final[Mapping[StoreRisk, str]] = {
    StoreRisk.NO_APPEND_ONLY_FILE: (
        "when the server restarts, services stop until `ol0 replay rebuild --apply` has rebuilt the store from the "
        "logs, as far as they reach: without anchors (`ol0 warmup` once more), exclusions and priorities"
    ),
    StoreRisk.NO_MEMORY_LIMIT: (
        "what the store may hold is not compared with what it comes to need, and a server that grows until its machine "
        "kills it stops all services meanwhile"
    ),
}


def open_store(config: RedisConfig, prefix: str) -> Redis:
    """A client of a server that keeps what it is given.

    Raises:
        ConfigError: the URL cannot be one of a store, or leads to a server that is too old.
        StoreError: the server is out of reach, or has wrong settings.
    """
    client = connect(config)
    with store_errors("EXISTS"):
        client.exists(store_key(prefix, Key.META))  # in a cluster this leads to the node whose settings count
    check_settings(client, config.accept)
    return client


def check_settings(client: Redis, accepted: Collection[StoreRisk] = ()) -> None:
    """Refuses a server that may evict keys, forgets them when it restarts, or takes memory until it is killed.

    Args:
        client: of the server.
        accepted: of these only a line in the log says what they cost.

    Raises:
        ConfigError: the server is too old.
        StoreError: names the setting, and the command that sets it.
    """
    check_version(_info(client, "server"))
    problems = []
    for risk, problem in _problems(_info(client, "memory"), _info(client, "persistence")):
        if risk is None or risk not in accepted:
            problems.append(problem if risk is None else f"{problem}; or {_acceptance(risk)}")
        else:
            structlog.get_logger("ol0.store").warning("accepted", risk=risk.value, cost=COSTS[risk])
    if problems:
        raise StoreError(
            f"the replay store has wrong settings (`CONFIG REWRITE` keeps the right ones; on a managed server they are "
            f"parameters): {'; '.join(problems)}"
        )


def check_memory(client: Redis, budget: Budget) -> int:
    """Refuses a server whose limit lies below what the store may come to need.

    Returns:
        How many windows may be open at once.

    Raises:
        StoreError: names both figures, and what changes them.
    """
    limit_bytes = int(str(_info(client, "memory")["maxmemory"]))
    if (shortage := budget.shortage(limit_bytes)) is not None:
        raise StoreError(
            f"{shortage}: raise its limit (`CONFIG SET maxmemory`), or take fewer features, a smaller "
            f"online_learning.replay_size{'' if budget.max_open is None else ' or a smaller streaming.max_open'}"
        )
    return budget.windows(limit_bytes)


def store_probe(config: RedisConfig, prefix: str, timeout_s: float) -> Callable[[], None]:
    """A question to the server that has the lineage's keys, sent with every call.

    Returns:
        Raises StoreError where it does not answer.
    """
    client = connect(config, retries=1, timeout_s=timeout_s)

    def ask() -> None:
        with store_errors("EXISTS"):
            client.exists(store_key(prefix, Key.META))

    return ask


def check_version(server: Mapping[str, object]) -> None:
    """Refuses a server, by what it says of itself, that cannot run the scripts. Raises ConfigError."""
    version = str(server.get("redis_version", ""))
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < OLDEST:
        raise ConfigError(
            f"redis.url leads to a server of version {version}: the replay store needs Redis 7.0 or newer, or Valkey, "
            "because older ones know no flags of scripts"
        )


def _problems(
    memory: Mapping[str, object], persistence: Mapping[str, object]
) -> Iterator[tuple[StoreRisk | None, str]]:
    policy = str(memory.get("maxmemory_policy"))
    if not policy.startswith(("noeviction", "volatile-")):  # no key of a lineage expires, so none is volatile
        yield (
            None,
            f"maxmemory-policy is {policy}: evicted keys are lost examples; `CONFIG SET maxmemory-policy noeviction`",
        )
    if not memory.get("maxmemory"):
        yield (
            StoreRisk.NO_MEMORY_LIMIT,
            "maxmemory is not set: the server would grow until its machine kills it; `CONFIG SET maxmemory 2gb` or so",
        )
    if not persistence.get("aof_enabled"):
        yield (
            StoreRisk.NO_APPEND_ONLY_FILE,
            "appendonly is no: a restart loses the join and its offsets; run `CONFIG SET appendonly yes`",
        )


def _acceptance(risk: StoreRisk) -> str:
    return f'redis.accept = ["{risk}"], which costs: {COSTS[risk]}'


def _info(client: Redis, section: str) -> Mapping[str, object]:
    with store_errors("INFO"):
        found = client.info(section)
    assert isinstance(found, dict)
    return found
