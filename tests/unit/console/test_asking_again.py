"""Clients that lost their way in an outage are replaced, and letters are read only where they changed."""

from collections.abc import Collection, Iterator, Mapping
from types import SimpleNamespace

import pytest

from ol0.console.observing import letters, sources
from ol0.console.observing.letters import LettersReader
from ol0.console.observing.sources import Ends
from ol0.errors import StreamError
from ol0.kafka.dead_letters.reader import Letter
from ol0.kafka.logs.questions import Which
from ol0.records import Partition
from ol0.wire.topics import Topics
from unit.console.test_observing import letter

PLACE = Partition("shop.outcomes.v1", 0)


class Broker:
    """Says where logs end to a client that was made since it came back."""

    def __init__(self) -> None:
        self.clients = 0
        self.lost: set[int] = set()
        self.end = 5
        self.reads = 0

    def admin(self) -> int:
        self.clients += 1
        return self.clients

    def ask(self, which: Which, admin: int, places: Collection[Partition], timeout_s: float) -> SimpleNamespace:
        assert timeout_s < 10

        def offsets() -> Mapping[Partition, int]:
            if admin in self.lost:
                raise StreamError("no answer")
            return dict.fromkeys(places, self.end if which is Which.END else 0)

        return SimpleNamespace(
            offsets=offsets, known=lambda: dict.fromkeys(places, None if admin in self.lost else self.end)
        )

    def read(self, *_: object) -> Iterator[Letter]:
        self.reads += 1
        return iter([letter(number) for number in range(self.end)])

    @property
    def lineage(self) -> SimpleNamespace:
        return SimpleNamespace(clients=self, topics=Topics("shop"))


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    for module in (letters, sources):
        monkeypatch.setattr(module, "AskedOffsets", made.ask)
    monkeypatch.setattr(letters, "read_letters", made.read)
    return made


def test_letters_are_read_once_as_long_as_there_are_no_others(broker: Broker) -> None:
    reader = LettersReader(broker.lineage)  # type: ignore[arg-type]
    assert reader.read() == reader.read()
    assert broker.reads == 1
    broker.end = 6
    assert reader.read().kinds[0].count == 6
    assert broker.reads == 2


def test_after_an_outage_letters_are_asked_for_by_a_new_client(broker: Broker) -> None:
    reader = LettersReader(broker.lineage)  # type: ignore[arg-type]
    broker.lost = {1}
    with pytest.raises(StreamError):
        reader.read()
    assert reader.read().kinds[0].count == 5
    assert broker.clients == 2


def test_after_an_outage_ends_are_asked_for_by_a_new_client(broker: Broker) -> None:
    ends = Ends(broker.lineage)  # type: ignore[arg-type]
    broker.lost = {1}
    assert ends.ask([PLACE]) == {PLACE: None}
    assert ends.ask([PLACE]) == {PLACE: 5}
    assert ends.ask([PLACE]) == {PLACE: 5}
    assert broker.clients == 2
