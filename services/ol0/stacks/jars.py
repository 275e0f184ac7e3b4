"""The jars of the local Kafka: pinned in ``jars.toml``, fetched once per user, checked before every use.

``python -m ol0.stacks.jars`` fetches and checks them; with ``--write`` it resolves and pins them again.
"""

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from ol0.errors import StackError

# slf4j-simple: without a binding the broker's log is empty, and this one reads no configuration file.
PROGRAMS = "org.apache.kafka:kafka_2.13:4.3.1+org.slf4j:slf4j-simple:1.7.36"
LOCK = Path(__file__).with_name("jars.toml")
REGENERATE = "python -m ol0.stacks.jars --write"
DOWNLOADS_AT_ONCE = 4  # most jars are small: their time is latency


@dataclass(frozen=True)
class Jar:
    """One pinned jar."""

    coordinate: str
    """``group:artifact:version``."""
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        """``artifact-version.jar``, as in a Maven repository."""
        _group, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"

    def verify(self, path: Path, remedy: str) -> None:
        """Compare a file with the pin.

        Raises:
            StackError: Its SHA-256 is another one. Ends with ``remedy``.
        """
        found = _sha256(path)
        if found != self.sha256:
            raise StackError(
                f"{self.coordinate} is not the jar that {LOCK.name} pins: {path} has the SHA-256 {found}, expected "
                f"{self.sha256}. It was not used. {remedy}"
            )


def locked_jars(lock: Path = LOCK) -> list[Jar]:
    """The pinned jars, in the order of the class path."""
    return [Jar(**entry) for entry in tomllib.loads(lock.read_text())["jar"]]


def cache_folder() -> Path:
    """Where downloads are kept for this user: ``OL0_CACHE``, else the platform's cache folder."""
    named = os.environ.get("OL0_CACHE")
    if named:
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ol0"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ol0"


def kafka_jars(cache: Path | None = None) -> list[Path]:
    """The broker's class path: every pinned jar, downloaded where it is missing, and verified (50 ms for all).

    Processes may do this at the same time: each downloads into a folder of its own and moves whole, verified jars.

    Args:
        cache: The folder to keep them in; ``cache_folder()`` when None.

    Raises:
        StackError: A jar cannot be had, or is not the pinned one.
    """
    folder = (cache or cache_folder()) / "jars"
    jars = locked_jars()
    missing = [jar for jar in jars if not (folder / jar.file_name).exists()]
    if missing:
        _download(missing, folder)
    for jar in jars:
        path = folder / jar.file_name
        jar.verify(path, f"Find out who changed it, then delete it ({path}) and run again: it is then downloaded again")
    return [folder / jar.file_name for jar in jars]


def _download(jars: Sequence[Jar], folder: Path) -> None:
    from ol0.stacks import maven  # noqa: PLC0415 - 0.3 s that only a first run has to pay

    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as scratch,
        _progress(jars, folder) as advance,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool,
    ):

        def install(jar: Jar) -> None:
            fetched = maven.fetch(jar.coordinate, Path(scratch))
            whole = Path(shutil.copyfile(fetched, Path(scratch) / jar.file_name))
            jar.verify(whole, f"It came from {fetched} or a repository in jgo's settings: one of them is wrong")
            whole.replace(folder / jar.file_name)
            advance(jar.size_bytes)

        for _ in pool.map(install, jars):  # the first error cancels what has not begun
            pass


@contextmanager
def _progress(jars: Sequence[Jar], folder: Path) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal and one plain line elsewhere; yields what to call with every number of bytes."""
    console = Console(stderr=True)
    total_bytes = sum(jar.size_bytes for jar in jars)
    title = f"Kafka: {len(jars)} jars"
    if not console.is_terminal:
        print(f"{title}, {total_bytes / 1e6:.0f} MB, once, to {folder}", file=sys.stderr, flush=True)  # noqa: T201
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total_bytes)
        yield lambda size_bytes: progress.advance(task, size_bytes)


def write_lock(lock: Path = LOCK) -> list[Jar]:
    """Resolve ``PROGRAMS`` again and pin what the repositories serve today. Read the difference before you commit it.

    Raises:
        StackError: A jar cannot be had.
    """
    from ol0.stacks import maven  # noqa: PLC0415 - as above

    with tempfile.TemporaryDirectory() as scratch:
        jars = [
            _pin(coordinate, maven.fetch(coordinate, Path(scratch)))
            for coordinate in maven.runtime_coordinates(PROGRAMS)
        ]
    assert len({jar.file_name for jar in jars}) == len(jars), "two jars would share a file in the cache"
    entries = [
        f'\n[[jar]]\ncoordinate = "{jar.coordinate}"\nsha256 = "{jar.sha256}"\nsize_bytes = {jar.size_bytes}\n'
        for jar in jars
    ]
    lock.write_text(
        f"# What the local Kafka runs on, pinned to the byte. Written by `{REGENERATE}`.\n" + "".join(entries)
    )
    return jars


def _pin(coordinate: str, path: Path) -> Jar:
    return Jar(coordinate, _sha256(path), path.stat().st_size)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """Fetch and check the jars, or pin them again."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--write", action="store_true", help=f"resolve again and rewrite {LOCK.name}")
    if parser.parse_args().write:
        print(f"{len(write_lock())} jars pinned in {LOCK}")  # noqa: T201 - a command's answer
    else:
        print(f"{len(kafka_jars())} jars in {cache_folder()}")  # noqa: T201 - same


if __name__ == "__main__":
    main()
