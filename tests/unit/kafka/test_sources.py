from ol0.config import KafkaConfig
from ol0.kafka.lineage import Lineage
from ol0.kafka.logs.questions import Described
from ol0.kafka.sources import Sources
from ol0.records import Partition

TOPIC = "ol0.outcomes.v1"


def reading(offsets: dict[int, int]) -> Sources:
    """Sources without a broker, in the middle of the second topic of that name."""
    sources = Sources("drift", ["outcomes"], Lineage.of(KafkaConfig(bootstrap_servers="127.0.0.1:1")))
    sources._ids, sources._retired = {TOPIC: "second"}, {"first"}
    sources._next = {Partition(TOPIC, number): offset for number, offset in offsets.items()}
    return sources


def test_a_broker_that_lags_behind_changes_nothing() -> None:
    sources = reading({0: 5, 1: 7})
    before = sources.places()
    for told in (Described("first", (0, 1)), Described("second", (0,)), Described("second", (0, 1))):
        assert not sources._compare({TOPIC: told})
    assert sources.places() == before


def test_caught_up_is_who_has_come_to_the_end_of_every_partition() -> None:
    sources = reading({0: 5, 1: 7})
    assert not sources.caught_up
    sources._ended = {Partition(TOPIC, 0)}
    assert not sources.caught_up
    sources._ended = {Partition(TOPIC, 0), Partition(TOPIC, 1)}
    assert sources.caught_up
