"""The scripts of this package, each with the prelude before it, called by hash."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha1
from importlib.resources import files
from typing import TypeAlias

from redis import Redis
from redis.connection import Connection
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ol0.errors import Fenced, Gap, StoreError
from ol0.pending import Pending
from ol0.replay.layout import SCRIPT_KEYS, store_key


def refusal(reply: Sequence[object], where: str) -> StoreError:
    """The error for a reply other than OK.

    Args:
        reply: status, and for some the figure that the store has instead.
        where: partition, offset and epoch that the call was about, as far as it had them.
    """
    status, *rest = map(text_of, reply)
    found = f" (the store has {rest[0]})" if rest else ""
    match status:
        case "FENCED":
            return Fenced(f"{where}: a newer owner has this partition{found}; this worker must stop")
        case "GAP" | "UNCLAIMED":
            return Gap(f"{where}: {status}{found}: the store was restored or moved on; claim again and seek there")
        case "UNKNOWN":
            return StoreError(
                f"{where}: not registered in this incarnation of the store: `ol0 topics apply` registers it; if it "
                "was, the store was wiped, and `ol0 replay rebuild` makes it again from the logs"
            )
        case "RECREATED":
            return StoreError(
                f"{where}: the topic was deleted and recreated: the store has read another topic of that name (id "
                f"{rest[0]}) up to offset {rest[1]}, and these offsets mean nothing in its successor. `ol0 topics "
                "apply` begins at the first record of the new log, and says so; what only the old one had is lost"
            )
        case "CORRUPT":
            return damaged(where, ", ".join(rest))
        case _:
            return StoreError(f"{where}: {status}{found}: the store does not take this call; mixed versions of OL0?")


def taken(reply: Sequence[object], where: str) -> Sequence[object]:
    """What a reply says after its OK. Raises the ``refusal`` of any other one."""
    if reply[0] != b"OK":
        raise refusal(reply, where)
    return reply[1:]


def damaged(where: str, what: str) -> StoreError:
    """The error for keys that do not hold what they should."""
    return StoreError(f"{where}: keys are missing or damaged ({what}); `ol0 replay rebuild` makes the store again")


def text_of(value: object) -> str:
    """A reply's bytes as text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


Argument: TypeAlias = str | bytes | int
Command: TypeAlias = tuple[Argument, ...]


def script_source(name: str) -> str:
    """A script as the server gets it: its flags have to stay the first line."""
    folder = files("ol0.replay") / "scripts"
    prelude, script = ((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("prelude", name))
    if not script.startswith("#!"):
        return prelude + script
    flags, _, body = script.partition("\n")
    return f"{flags}\n{prelude}{body}"


class Scripts:
    """Calls scripts on the keys of one lineage."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self.client = client
        self._keys = [store_key(prefix, name) for name in SCRIPT_KEYS]
        self._sources: dict[str, str] = {}
        self._digests: dict[Argument, str] = {}

    def call(self, name: str, *arguments: Argument) -> list[object]:
        """Runs a script and returns its reply, status first.

        Raises:
            StoreError: the store cannot be reached, or refused.
        """
        (reply,) = self.send(self.command(name, *arguments)).result()
        return reply_of(name, reply)

    def command(self, name: str, *arguments: Argument) -> Command:
        """A script as the words of a command that needs nothing of the server, for ``send`` and for pipelines."""
        if name not in self._sources:
            source = self._sources[name] = script_source(name)
            self._digests[source] = sha1(source.encode(), usedforsecurity=False).hexdigest()
        return ("EVAL", self._sources[name], len(self._keys), *self._keys, *arguments)

    def send(self, *commands: Command) -> Pending[list[object]]:
        """Sends commands in one go and waits for nothing; the replies come in their order.

        A reply may be a ``ResponseError``. Where the connection fails, or the server does not know a script, all
        commands are sent again, one after the other, so all of them must bear that.

        Raises:
            StoreError: from here or from ``result``: the store cannot be reached.
        """
        pool = self.client.connection_pool
        try:
            connection = pool.get_connection()
        except RedisError as error:  # it has tried as often as the client's settings say
            raise self._refused(commands[0], error) from error
        try:
            packed = connection.pack_commands([self._by_hash(command) for command in commands])  # type: ignore[no-untyped-call]
            connection.send_packed_command(packed)  # type: ignore[no-untyped-call]
        except RedisError:
            pool.release(connection)
            return Pending(partial(self._send_again, commands))
        except BaseException:
            pool.release(connection)
            raise

        def replies() -> list[object]:
            try:
                found = [_read(connection) for _ in commands]
            except RedisError:
                return self._send_again(commands)
            finally:
                pool.release(connection)
            if any(isinstance(reply, NoScriptError) for reply in found):
                return self._send_again(commands)
            return found

        return Pending(replies)

    def _send_again(self, commands: Sequence[Command]) -> list[object]:
        """One after the other, each as often as the client's settings say, and with the text of its script."""
        return [self._exchange(command) for command in commands]

    def _exchange(self, command: Command) -> object:
        pool = self.client.connection_pool
        try:
            connection = pool.get_connection()
            try:
                return connection.retry.call_with_retry(
                    partial(_ask, connection, command),
                    lambda _: connection.disconnect(),  # type: ignore[no-untyped-call]
                )
            finally:
                pool.release(connection)
        except RedisError as error:
            raise self._refused(command, error) from error

    def _by_hash(self, command: Command) -> Command:
        verb, script, *rest = command
        digest = self._digests.get(script) if verb == "EVAL" else None
        return command if digest is None else ("EVALSHA", digest, *rest)

    def _refused(self, command: Command, error: RedisError) -> StoreError:
        verb, script, *_ = command
        return refused(next((name for name, source in self._sources.items() if source == script), str(verb)), error)


def reply_of(name: str, reply: object) -> list[object]:
    """What a script answered, status first.

    Raises:
        StoreError: the server refused it.
    """
    if isinstance(reply, ResponseError):
        raise refused(name, reply) from reply
    assert isinstance(reply, list)
    return reply


def refused(what: str, error: RedisError) -> StoreError:
    """A client error in words that say what to look at."""
    match error:
        case AuthenticationError() | NoPermissionError():
            remedy = (
                "give the user of redis.url the right password, the keys of the lineage, and the commands that "
                'docs/operating.md lists under "Secure broker and store"'
            )
        case RedisConnectionError() | RedisTimeoutError():
            remedy = "check that redis.url points to a server that is up"
        case OutOfMemoryError():
            remedy = "the server has no memory left (`redis-cli INFO memory`): raise maxmemory"
        case _:
            remedy = (
                "check that nothing else writes the lineage's keys, and that the server is Redis 7.0, Valkey or newer"
            )
    return StoreError(f"replay store, {what}: {type(error).__name__}: {error}; {remedy}")


@contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Turns the client's errors into ``StoreError``s."""
    try:
        yield
    except RedisError as error:
        raise refused(what, error) from error


def _ask(connection: Connection, command: Command) -> object:
    connection.send_command(*command)  # type: ignore[no-untyped-call]
    return _read(connection)


def _read(connection: Connection) -> object:
    """A reply; an error of the server is one too, and more may follow behind it."""
    try:
        return connection.read_response()
    except ResponseError as error:
        return error
