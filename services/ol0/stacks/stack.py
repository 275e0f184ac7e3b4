from typing import Final, Protocol, Self

STORE_BYTES: Final = 1024**3
"""What the store of a stack may hold, unless somebody asks for another limit."""


class Stack(Protocol):
    """A Kafka and a Redis-compatible store to run against, wherever they come from.

    Entering starts it, leaving stops it. A restart keeps the addresses and every record that was acknowledged.
    """

    @property
    def bootstrap_servers(self) -> str:
        """Kafka's ``host:port``, as librdkafka's ``bootstrap.servers`` takes it."""

    @property
    def redis_url(self) -> str:
        """The store's URL, ``redis://host:port/0``."""

    def start(self) -> None:
        """Start both. Returns when topics can be created and keys be written.

        Raises:
            StackError: One did not come up; the message ends with the last lines of its log.
        """

    def stop(self) -> None:
        """Stop both; their data stays. Does nothing when they do not run."""

    def restart_kafka(self) -> None:
        """Stop Kafka, where it still runs, and start it again.

        Raises:
            StackError: It did not come up again.
        """

    def restart_redis(self) -> None:
        """Stop the store, where it still runs, and start it again.

        Raises:
            StackError: It did not come up again.
        """

    def __enter__(self) -> Self:
        """Start."""

    def __exit__(self, *exception: object) -> None:
        """Stop."""
