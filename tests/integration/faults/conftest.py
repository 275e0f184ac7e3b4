from collections.abc import Iterator
from pathlib import Path

import pytest

from ol0.stacks.native import NativeStack
from ol0.stacks.ports import LOOPBACK
from ol0.stacks.valkey import Valkey
from testbed.faults.world import Pair


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Valkey]:
    """A store that the test may kill, wipe and put back."""
    server = Valkey(tmp_path / "valkey", maxmemory_bytes=256 * 1024**2)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def servers(stack: NativeStack, store: Valkey) -> Pair:
    """The session's broker with that store."""
    return Pair(stack.bootstrap_servers, f"redis://{LOOPBACK}:{store.port}/0")
