"""Connections that stay with the server that has the lineage's keys: in a cluster, and after a failover.

All keys of a lineage lie in one hash slot (``store_key``), so one node of a cluster has all of them at any time, and
which one that is any other node says: MOVED. A client of a whole cluster would only add a layer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from redis.connection import Connection, SSLConnection
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    ReadOnlyError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

Address = tuple[str, int]

PASSING: Final = (AskError, TryAgainError, ClusterDownError, ReadOnlyError)
"""What a server answers while its slot moves or its master changes. The script has not run: it may be sent again."""


@dataclass
class Servers:
    """Where the lineage's keys may be, shared by all connections of a client.

    Attributes:
        find: the addresses of the settings, in their order, or the one that Sentinel names now.
        owner: where a MOVED pointed last.
    """

    find: Callable[[], tuple[Address, ...]]
    owner: Address | None = None

    def in_turn(self) -> tuple[Address, ...]:
        """The owner first; where it is down, any other one knows who has its slots now."""
        return self.find() if self.owner is None else (self.owner, *self.find())


class FollowingConnection(Connection):
    """Goes where a MOVED points. Whoever asks sees a lost connection, and asks again as after any other.

    Looking for the address with every socket is what the library's own connections for Sentinel do not: a repeated
    call of theirs goes to the address of the call before.
    """

    def __init__(self, *, servers: Servers, **options: object) -> None:
        self._servers = servers
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def _connect(self) -> object:
        failed = OSError("no address to connect to")
        for address in self._servers.in_turn():
            self.host, self.port = address
            try:
                return super()._connect()  # type: ignore[no-untyped-call]
            except OSError as error:
                failed = error
        raise failed

    def read_response(self, *arguments: object, **options: object) -> object:
        """A reply, where it is the right server's.

        Raises:
            ConnectionError: it is not; the next attempt goes to another one.
        """
        try:
            return super().read_response(*arguments, **options)
        except MovedError as moved:
            self._servers.owner = (moved.host or self.host, moved.port)
            reason: Exception = moved
        except PASSING as passing:
            self._servers.owner = None
            reason = passing
        self.disconnect()  # type: ignore[no-untyped-call]
        raise RedisConnectionError(f"{type(reason).__name__}: {reason}") from reason


class FollowingTlsConnection(FollowingConnection, SSLConnection):
    """The same over TLS."""
