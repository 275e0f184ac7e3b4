"""Dead letters are read only where they changed."""

from collections.abc import Collection, Iterator, Mapping
from types import SimpleNamespace
from typing import cast

import pytest

from ol0.console.observing import letters
from ol0.console.observing.letters import LettersReader
from ol0.kafka.dead_letters.reader import Letter
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs.questions import Which
from ol0.records import Partition
from ol0.wire.topics import Topics
from unit.console.test_observing import letter


class Log:
    """Letters up to ``end``, and how often they were read."""

    def __init__(self) -> None:
        self.end, self.reads = 5, 0

    def offsets(self, which: Which, places: Collection[Partition], timeout_s: float) -> SimpleNamespace:
        assert timeout_s < 10
        found: Mapping[Partition, int] = dict.fromkeys(places, self.end if which is Which.END else 0)
        return SimpleNamespace(offsets=lambda: found)

    def read(self, *_: object) -> Iterator[Letter]:
        self.reads += 1
        return iter([letter(number) for number in range(self.end)])


def test_letters_are_read_once_as_long_as_there_are_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    monkeypatch.setattr(letters, "Asker", lambda _: log)
    monkeypatch.setattr(letters, "read_letters", log.read)
    lineage = SimpleNamespace(clients=SimpleNamespace(admin=None), topics=Topics("shop"))
    reader = LettersReader(cast("Lineage", lineage))

    assert reader.read() == reader.read()
    assert log.reads == 1
    log.end = 6
    assert reader.read().kinds[0].count == 6
    assert log.reads == 2
