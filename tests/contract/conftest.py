import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from pydantic import SecretStr
from redis import Redis

from contract.store_calls import DECISIONS, FEEDBACK
from ol0.config import RedisConfig
from ol0.replay.connection import connect
from ol0.replay.store import ReplayStore
from ol0.stacks.valkey import Valkey
from support.ring import Lineage

MAXMEMORY_BYTES = 256 * 1024**2


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A real server for the session. Shared: take a prefix of your own, and leave it running."""
    server = Valkey(tmp_path_factory.mktemp("valkey"), maxmemory_bytes=MAXMEMORY_BYTES)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(valkey: Valkey) -> Iterator[Redis]:
    connection = connect(RedisConfig(url=SecretStr(f"redis://127.0.0.1:{valkey.port}/0")))
    yield connection
    connection.close()


_numbers = itertools.count()


@pytest.fixture
def prefix() -> str:
    """Keys that no other test touches."""
    return f"lineage-{next(_numbers)}"


@pytest.fixture
def new_prefix() -> Callable[[], str]:
    """The same, for tests that need several."""
    return lambda: f"lineage-{next(_numbers)}"


@pytest.fixture
def store(client: Redis, prefix: str) -> ReplayStore:
    """One of two partitions, four slots and three open windows."""
    made = ReplayStore(client, prefix)
    made.register({DECISIONS: 5, FEEDBACK: 0}, capacity=4, max_open=3)
    return made


@pytest.fixture
def lineage(client: Redis, prefix: str) -> Lineage:
    """One of one partition and eight slots."""
    return Lineage(client, prefix)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
