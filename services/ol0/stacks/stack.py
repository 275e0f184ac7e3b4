from typing import Final, Protocol, Self

STORE_BYTES: Final = 1024**3
"""What the store of a stack may hold, unless another limit is asked for."""


class Stack(Protocol):
    """A Kafka and a Redis-compatible store to run against, wherever they come from."""

    @property
    def bootstrap_servers(self) -> str:
        """Kafka's ``host:port``, as librdkafka's ``bootstrap.servers`` takes it."""

    @property
    def redis_url(self) -> str:
        """The store's URL, ``redis://host:port/0``."""

    def __enter__(self) -> Self:
        """Start both. Returns when topics can be created and keys be written.

        Raises:
            StackError: One did not come up; the message ends with the last lines of its log.
        """

    def __exit__(self, *exception: object) -> None:
        """Stop both; does nothing when they do not run."""
