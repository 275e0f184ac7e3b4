"""The connection to the store, and the settings without which it would lose examples."""

import math
from typing import Final

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from ol0.config import RedisConfig
from ol0.errors import StoreError
from ol0.replay.lua import refused

# Enough for a dropped connection and a server that restarts at once; a longer outage ends the process, and its
# supervisor starts it again: no retry here may outlast the 10 s that a service has to leave.
RETRIES: Final = 4
MIB: Final = 1024**2
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 0.5


def connect(config: RedisConfig) -> Redis:
    """A client that neither waits for ever nor hides an outage. Connects on first use.

    Every call may be repeated after a lost reply; all scripts of this package bear that.
    """
    client: Redis = Redis.from_url(
        config.url.get_secret_value(),
        socket_timeout=config.socket_timeout_s,
        socket_connect_timeout=config.socket_timeout_s,
        socket_keepalive=True,
        retry=Retry(
            ExponentialBackoff(cap=LONGEST_PAUSE_S, base=FIRST_PAUSE_S),
            RETRIES,
            supported_errors=(RedisConnectionError, RedisTimeoutError),
        ),
        decode_responses=False,
    )
    return client


def check_settings(client: Redis) -> None:
    """Refuses a server that may evict keys, forgets them when it restarts, or takes memory until it is killed.

    Raises:
        StoreError: names the setting, and the command that sets it.
    """
    try:
        memory, persistence = client.info("memory"), client.info("persistence")
    except RedisError as error:
        raise refused("INFO", error) from error
    assert isinstance(memory, dict)
    assert isinstance(persistence, dict)
    problems = []
    if (policy := memory.get("maxmemory_policy")) != "noeviction":
        problems.append(
            f"maxmemory-policy is {policy}: evicted keys are lost examples; `CONFIG SET maxmemory-policy noeviction`"
        )
    if not memory.get("maxmemory"):
        problems.append(
            "maxmemory is not set: the server would grow until the machine kills it; `CONFIG SET maxmemory 2gb`, or "
            "what the machine can spare"
        )
    if not persistence.get("aof_enabled"):
        problems.append("appendonly is no: a restart loses the join and its offsets; `CONFIG SET appendonly yes`")
    if problems:
        raise StoreError(
            f"the replay store has wrong settings (`CONFIG REWRITE` keeps the right ones): {'; '.join(problems)}"
        )


def check_memory(client: Redis, needed_bytes: int) -> None:
    """Refuses a server whose limit lies below what the store may come to need: see ``budget.py``.

    Raises:
        StoreError: names both figures, and the settings that change them.
    """
    try:
        memory = client.info("memory")
    except RedisError as error:
        raise refused("INFO", error) from error
    assert isinstance(memory, dict)
    limit = int(memory["maxmemory"])
    if limit < needed_bytes:
        raise StoreError(
            f"the replay store may hold {limit / MIB:,.0f} MiB (maxmemory), and with these settings comes to need "
            f"{needed_bytes / MIB:,.0f} MiB: `CONFIG SET maxmemory {math.ceil(needed_bytes / MIB)}mb`, or a smaller "
            "streaming.max_open"
        )
