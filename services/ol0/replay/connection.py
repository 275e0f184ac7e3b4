"""The connection to the store: one server, a cluster, or whichever server Sentinel names."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from redis import ConnectionPool, Redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.connection import Connection, SSLConnection, parse_url
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from ol0.config import RedisConfig
from ol0.errors import ConfigError
from ol0.secrets import masked_url, without_password

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
    """Goes where a MOVED points. The caller sees a lost connection, and asks again as after any other.

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


# Enough for a dropped connection and a server that restarts at once; a longer outage ends the process, and its
# supervisor starts it again: no retry here may outlast the 10 s that a service has to leave.
RETRIES: Final = 4
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 0.5
FORMS: Final = (
    "redis://USER:PASSWORD@HOST:PORT/DB, redis+cluster://HOST:PORT,HOST:PORT, "
    "redis+sentinel://HOST:PORT,HOST:PORT/NAME, "
    "rediss for TLS in each of them, or unix://PATH"
)
PORTS: Final = {"": 6379, "cluster": 6379, "sentinel": 26379}
FILES: Final = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")

Options = dict[str, object]
Find = Callable[[], tuple[Address, ...]]


def connect(config: RedisConfig, *, retries: int = RETRIES, timeout_s: float | None = None) -> Redis:
    """A client that neither waits for ever nor hides an outage. Connects on first use.

    Every call may be repeated after a lost reply; all scripts of this package bear that. A MOVED is followed and a
    failover waited for, as far as the retries reach, whatever form the URL has.

    Args:
        config: where the store is.
        retries: how often a call is tried again.
        timeout_s: longest wait for one reply; the settings' by default.

    Raises:
        ConfigError: the URL cannot be one of a store.
    """
    wait_s = timeout_s or config.socket_timeout_s
    shared: Options = {
        "socket_timeout": wait_s,
        "socket_connect_timeout": wait_s,
        "socket_keepalive": True,
        "retry": Retry(
            ExponentialBackoff(cap=LONGEST_PAUSE_S, base=FIRST_PAUSE_S),
            retries,
            supported_errors=(RedisConnectionError, RedisTimeoutError),
        ),
        "decode_responses": False,
    }
    url = config.url.get_secret_value()
    try:
        return _client(urlsplit(url), shared)
    except (ValueError, TypeError, RedisError) as error:
        reason = without_password(str(error), url)
        raise ConfigError(
            f"redis.url {masked_url(url)}: {reason}; it is of the form {FORMS}, with what is no letter or digit in a "
            "password written as %2F and so on"
        ) from None


def _client(url: SplitResult, shared: Options) -> Redis:
    scheme, _, kind = url.scheme.partition("+")
    if scheme == "unix":
        return Redis.from_url(url.geturl(), **shared)
    if scheme not in ("redis", "rediss") or kind not in PORTS:
        raise ValueError(f"there is no scheme {url.scheme!r}")
    user, _, hosts = url.netloc.rpartition("@")
    addresses = tuple(_address(host, PORTS[kind]) for host in hosts.split(","))
    if len(addresses) > 1 and not kind:
        raise ValueError(f"several hosts are {scheme}+cluster or {scheme}+sentinel")
    name, _, database = url.path.strip("/").partition("/") if kind == "sentinel" else ("", "", url.path.strip("/"))
    if database and not database.isdigit():
        raise ValueError(f"{database!r} is no number of a database")
    # One host is what the library reads a URL with; the rest of it means the same for all of them.
    options = {**shared, **parse_url(f"{scheme}://{user}@localhost/{database}?{url.query}")}  # type: ignore[no-untyped-call]
    options.pop("connection_class", None)
    del options["host"]
    kind_of_connection = FollowingTlsConnection if scheme == "rediss" else FollowingConnection
    find = (lambda: addresses) if kind != "sentinel" else _named_by(addresses, unquote(name), options, scheme)
    _try_out(kind_of_connection, options)
    pool = ConnectionPool(connection_class=kind_of_connection, servers=Servers(find), **options)
    return Redis.from_pool(pool)


def _address(text: str, default: int) -> Address:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(f"{text!r} is no host")
    return parts.hostname, parts.port or default


def _named_by(sentinels: tuple[Address, ...], name: str, options: Options, scheme: str) -> Find:
    """Asks the sentinels for their master ``name``; takes their user and password out of the options."""
    if not name:
        raise ValueError("the name of the master is missing, as in redis+sentinel://HOST:PORT/NAME")
    own = {key: options.pop(f"sentinel_{key}", None) for key in ("username", "password")}
    shared = {key: value for key, value in options.items() if key.startswith(("socket_", "ssl_"))}
    once = Retry(NoBackoff(), 0)  # where one is down, the next is asked
    asked_with = {**shared, **own, "ssl": scheme == "rediss", "retry": once}
    sentinel = Sentinel(sentinels, sentinel_kwargs=asked_with)  # type: ignore[no-untyped-call]

    def ask() -> tuple[Address, ...]:
        try:
            return (sentinel.discover_master(name),)  # type: ignore[no-untyped-call]
        except MasterNotFoundError:  # its text is a page
            hosts = ", ".join(f"{host}:{port}" for host, port in sentinels)
            raise RedisConnectionError(f"no sentinel of {hosts} names a master {name!r}") from None

    return ask


def _try_out(kind: type[FollowingConnection], options: Options) -> None:
    """Whether a connection can be made with these options: one that is refused would be at its first use."""
    for name in FILES:
        if name in options and not Path(str(options[name])).exists():
            raise ValueError(f"{name}: there is no {options[name]}")
    kind(servers=Servers(tuple), **options)
