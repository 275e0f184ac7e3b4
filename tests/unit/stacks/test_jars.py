import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ol0.errors import StackError
from ol0.stacks import jars, maven
from ol0.stacks.jars import Jar, kafka_jars, locked_jars

PINNED = [Jar(f"org.example:part{number}:1.0", hashlib.sha256(b"%d" % number).hexdigest(), 1) for number in range(3)]


class Repository:
    """Serves jars as jgo does: in place, into the folder that it is given."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.meet: threading.Barrier | None = None

    def fetch(self, coordinate: str, folder: Path) -> Path:
        if self.meet is not None and coordinate == PINNED[0].coordinate:
            self.meet.wait(timeout=60.0)
        self.fetched.append(coordinate)
        path = folder / "repository" / f"{coordinate.split(':')[1]}.jar"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.content(coordinate))
        return path

    def content(self, coordinate: str) -> bytes:
        return coordinate.split(":")[1].removeprefix("part").encode()


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Repository:
    repository = Repository()
    monkeypatch.setattr(maven, "fetch", repository.fetch)
    monkeypatch.setattr(jars, "locked_jars", lambda: PINNED)
    return repository


def test_the_lock_pins_the_broker_and_gives_every_jar_a_file_of_its_own() -> None:
    pinned = locked_jars()
    assert "org.apache.kafka:kafka_2.13:4.3.1" in {jar.coordinate for jar in pinned}
    assert len({jar.file_name for jar in pinned}) == len(pinned)
    assert all(len(jar.sha256) == 64 for jar in pinned)


def test_jars_are_downloaded_once(repository: Repository, tmp_path: Path) -> None:
    first = kafka_jars(tmp_path)
    assert [path.read_bytes() for path in first] == [b"0", b"1", b"2"]
    assert kafka_jars(tmp_path) == first
    assert sorted(repository.fetched) == [jar.coordinate for jar in PINNED]


def test_only_what_is_missing_is_downloaded(repository: Repository, tmp_path: Path) -> None:
    kafka_jars(tmp_path)[1].unlink()
    repository.fetched.clear()
    kafka_jars(tmp_path)
    assert repository.fetched == ["org.example:part1:1.0"]


def test_two_who_download_at_the_same_time_both_get_whole_jars(repository: Repository, tmp_path: Path) -> None:
    repository.meet = threading.Barrier(2)  # the first jar: neither has it before both fetch it
    with ThreadPoolExecutor(2) as both:
        one, other = both.map(kafka_jars, [tmp_path, tmp_path])
    assert one == other
    assert [path.read_bytes() for path in one] == [b"0", b"1", b"2"]
    assert sorted(path.name for path in (tmp_path / "jars").iterdir()) == [jar.file_name for jar in PINNED]


def test_a_download_that_is_not_the_pinned_jar_never_reaches_the_cache(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "content", lambda _coordinate: b"other")
    with pytest.raises(StackError, match=r"org\.example:part\d:1\.0 is not the jar that jars\.toml pins"):
        kafka_jars(tmp_path)
    assert list((tmp_path / "jars").iterdir()) == []


def test_the_cache_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OL0_CACHE", str(tmp_path))
    assert jars.cache_folder() == tmp_path
