from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from ol0.stacks.kafka import Cluster, Kafka
from ol0.stacks.ports import LOOPBACK
from ol0.stacks.stack import STORE_BYTES
from ol0.stacks.valkey import Valkey


class NativeStack:
    """Real Kafka and Valkey as child processes of this one: nothing to install, nothing left behind.

    Data, settings and logs lie under one folder, which stays: starting again on it finds the same records. Ports are
    chosen when the stack is made and kept through restarts. If this process ends in any way, so do all servers.
    """

    def __init__(
        self,
        root: Path,
        *,
        brokers: int = 1,
        kafka_heap_mb: int = 400,
        redis_maxmemory_bytes: int = STORE_BYTES,
        cache: Path | None = None,
    ) -> None:
        """Choose ports; start nothing.

        Args:
            root: The folder for data, settings and logs; made if missing.
            brokers: How many nodes the Kafka cluster has.
            kafka_heap_mb: Each broker's largest heap. Its page cache comes on top.
            redis_maxmemory_bytes: What the store may hold before it refuses writes.
            cache: Where the broker's jars are kept; the user's cache folder when None.

        Raises:
            StackError: No port is free.
        """
        root = root.absolute()
        self._cluster = Cluster.of(brokers)
        folders = [root / "kafka", *(root / f"kafka-{number}" for number in range(2, brokers + 1))]
        self.brokers: Sequence[Kafka] = [
            Kafka(folder, self._cluster, node, heap_mb=kafka_heap_mb, cache=cache)
            for node, folder in enumerate(folders)
        ]
        self.valkey = Valkey(root / "valkey", maxmemory_bytes=redis_maxmemory_bytes)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    @property
    def bootstrap_servers(self) -> str:
        """Kafka's ``host:port``, of every broker."""
        return self._cluster.bootstrap_servers

    @property
    def redis_url(self) -> str:
        """The store's URL."""
        return f"redis://{LOOPBACK}:{self.valkey.port}/0"

    def start(self) -> None:
        """Start all at the same time. Returns when topics can be created and keys be written.

        Raises:
            StackError: One did not come up; the message ends with the last lines of its log. Neither runs then.
        """
        try:
            _at_once(*(broker.start for broker in self.brokers), self.valkey.start)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all at the same time; their data stays."""
        _at_once(*(broker.stop for broker in self.brokers), self.valkey.stop)


def _at_once(*actions: Callable[[], None]) -> None:
    """Run actions at the same time, wait for all, raise the first error."""
    with ThreadPoolExecutor(len(actions)) as pool:
        for done in [pool.submit(action) for action in actions]:
            done.result()
