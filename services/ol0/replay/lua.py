"""The scripts of this package, each with the prelude before it, called by hash."""

from hashlib import sha1
from importlib.resources import files
from typing import Final, TypeAlias

from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from ol0.errors import StoreError

# m meta, w watermarks, o payloads, f feedback, d open windows, g waiting feedback, p priorities, i entries, x outbox,
# u examples of each user in the running hour
SCRIPT_KEYS: Final = "mwofdgpixu"

Argument: TypeAlias = str | bytes | int


def store_key(prefix: str, name: str) -> str:
    """A key of the store. The braces put all keys of one lineage into one hash slot: a script may touch them all."""
    return f"{{{prefix}}}:{name}"


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
        self._sources: dict[str, tuple[str, str]] = {}

    def call(self, name: str, *arguments: Argument) -> list[object]:
        """Runs a script and returns its reply, status first.

        The client repeats a call whose reply was lost, so every script must bear that.

        Raises:
            StoreError: the store cannot be reached, or refused.
        """
        digest, source = self._script(name)
        try:
            try:
                reply = self._run("EVALSHA", digest, arguments)
            except NoScriptError:  # the server restarted, or a replica took over: it has no scripts
                reply = self._run("EVAL", source, arguments)
        except RedisError as error:
            raise refused(name, error) from error
        assert isinstance(reply, list)
        return reply

    def command(self, name: str, *arguments: Argument) -> tuple[object, ...]:
        """The same as words of a command, for a pipeline, where a missing script could not be sent again."""
        return ("EVAL", self._script(name)[1], len(self._keys), *self._keys, *arguments)

    def _run(self, verb: str, script: str, arguments: tuple[Argument, ...]) -> object:
        return self.client.execute_command(verb, script, len(self._keys), *self._keys, *arguments)  # type: ignore[no-untyped-call]

    def _script(self, name: str) -> tuple[str, str]:
        if name not in self._sources:
            source = script_source(name)
            self._sources[name] = (sha1(source.encode(), usedforsecurity=False).hexdigest(), source)
        return self._sources[name]


def refused(what: str, error: RedisError) -> StoreError:
    """A client error in words that say what to look at."""
    return StoreError(
        f"replay store, {what}: {type(error).__name__}: {error}; check that redis.url points to a server that is up "
        "and has memory left (`redis-cli INFO memory`), and that nothing else writes the lineage's keys"
    )
