from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from ol0.soak.stacks.kafka import Kafka
from ol0.soak.stacks.ports import LOOPBACK
from ol0.soak.stacks.valkey import Valkey

GIB = 1024**3


class NativeStack:
    """Real Kafka and Valkey as child processes of this one: nothing to install, nothing left behind.

    Data, settings and logs lie under one folder, which stays: starting again on it finds the same records. Ports are
    chosen when the stack is made and kept through restarts. If this process ends in any way, so do both servers.
    """

    def __init__(
        self,
        root: Path,
        *,
        kafka_heap_mb: int = 400,
        redis_maxmemory_bytes: int = GIB,
        cache: Path | None = None,
    ) -> None:
        """Choose ports; start nothing.

        Args:
            root: The folder for data, settings and logs; made if missing.
            kafka_heap_mb: The broker's largest heap. Its page cache comes on top.
            redis_maxmemory_bytes: What the store may hold before it refuses writes.
            cache: Where the broker's jars are kept; the user's cache folder when None.

        Raises:
            StackError: No port is free.
        """
        root = root.absolute()
        self._kafka = Kafka(root / "kafka", heap_mb=kafka_heap_mb, cache=cache)
        self._valkey = Valkey(root / "valkey", maxmemory_bytes=redis_maxmemory_bytes)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    @property
    def bootstrap_servers(self) -> str:
        """Kafka's ``host:port``."""
        return f"{LOOPBACK}:{self._kafka.port}"

    @property
    def redis_url(self) -> str:
        """The store's URL."""
        return f"redis://{LOOPBACK}:{self._valkey.port}/0"

    @property
    def kafka_pid(self) -> int:
        """The broker's process id, for faults."""
        return self._kafka.pid

    @property
    def redis_pid(self) -> int:
        """The store's process id, for faults."""
        return self._valkey.pid

    def start(self) -> None:
        """Start both at the same time. Returns when topics can be created and keys be written.

        Raises:
            StackError: One did not come up; the message ends with the last lines of its log. Neither runs then.
        """
        try:
            _both(self._kafka.start, self._valkey.start)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop both at the same time; their data stays."""
        _both(self._kafka.stop, self._valkey.stop)

    def restart_kafka(self) -> None:
        """Stop Kafka, where it still runs, and start it on the same port and data.

        Raises:
            StackError: It did not come up again.
        """
        self._kafka.stop()
        self._kafka.start()

    def restart_redis(self) -> None:
        """Stop the store, where it still runs, and start it on the same port and data.

        Raises:
            StackError: It did not come up again.
        """
        self._valkey.stop()
        self._valkey.start()


def _both(*actions: Callable[[], None]) -> None:
    """Run actions at the same time, wait for all, raise the first error."""
    with ThreadPoolExecutor(len(actions)) as pool:
        for done in [pool.submit(action) for action in actions]:
            done.result()
