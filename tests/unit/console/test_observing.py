"""What the watch learns from topics, and what it does where something is out of reach."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from ol0.console.observing.knowledge import Knowledge
from ol0.console.observing.letters import Letters, kinds_of
from ol0.console.observing.lift_history import MOST_POINTS, LiftHistory, LiftPoint
from ol0.console.observing.picture import Part
from ol0.console.observing.sources import Sources
from ol0.console.observing.watch import Watch
from ol0.errors import OL0Error, StoreError, StreamError
from ol0.kafka.dead_letters.reader import Letter, Place
from ol0.kafka.snapshots import Positions, TopicPlace, head_of, parts_of
from ol0.kafka.topic_readers.log_reader import LogReader
from ol0.operator.figures import LiftInterval
from ol0.records import Partition, Record, Snapshot
from ol0.replay.stats import StoreStats
from ol0.wire.topics import Topics
from testbed.waiting import ManualClock, wait_until
from unit.console import pictures
from unit.console.pictures import NOON_MS, known
from unit.simulation.scripted import Scripted


@dataclass
class World:
    """Broker, topics and store of a watch; each can be taken away."""

    records: list[Record] = field(default_factory=list)
    away: OL0Error | None = None
    store_away: OL0Error | None = None
    broken: OL0Error | None = None
    opened: list[Scripted] = field(default_factory=list)
    asked: list[Partition] = field(default_factory=list)
    letters_read: int = 0

    def sources(self) -> Sources:
        return Sources(self.probe, lambda: self.follow().reader, self.stats, lambda _: {}, self.ends, self.letters)

    def probe(self) -> None:
        if self.away is not None:
            raise self.away

    def follow(self) -> Scripted:
        self.probe()
        self.opened.append(Scripted(list(self.records), self.broken))
        return self.opened[-1]

    def stats(self) -> StoreStats:
        if self.store_away is not None:
            raise self.store_away
        return pictures.stats()

    def ends(self, places: Collection[Partition]) -> Mapping[Partition, int | None]:
        self.asked = sorted(places)
        return dict.fromkeys(places, 10)

    def letters(self) -> Letters:
        self.letters_read += 1
        return pictures.LETTERS


def watch_of(world: World, clock: Callable[[], float] | None = None) -> Watch:
    return Watch(world.sources(), clock=clock or ManualClock(), clock_ms=lambda: NOON_MS)


def test_one_round_reads_topics_store_ends_and_letters() -> None:
    world, clock = World(pictures.released().records), ManualClock()
    watch = watch_of(world, clock)
    watch.look()
    clock.now_s = 6.0
    watch.look()
    picture = watch.picture
    assert picture.caught_up
    assert picture.known.serving is not None
    assert (picture.stats, picture.letters, picture.troubles) == (pictures.stats(), pictures.LETTERS, ())
    assert Partition("shop.outcomes.v1", 0) in world.asked
    assert Partition("shop.decisions.v1", 0) in world.asked


def test_the_revision_grows_only_with_what_is_to_be_seen() -> None:
    world, clock = World(pictures.learning().records), ManualClock()
    watch = watch_of(world, clock)
    for clock.now_s in (0.0, 6.0, 12.0):
        watch.look()
    seen = watch.revision
    for clock.now_s in (18.0, 24.0):
        watch.look()
    assert watch.revision == seen
    world.opened[0].records = [pictures.evaluation(NOON_MS + 60_000, 60)]
    clock.now_s = 30.0
    watch.look()
    assert watch.revision > seen


def test_a_broker_that_goes_away_is_a_trouble_since_then_and_what_is_known_stays() -> None:
    # Given a watch that has seen a release.
    world, clock, now = World(pictures.released().records), ManualClock(), [NOON_MS]
    watch = Watch(world.sources(), clock=clock, clock_ms=lambda: now[0])
    watch.look()
    # When the broker goes, and stays away.
    world.away = StreamError("no broker answers")
    asked = world.letters_read
    for clock.now_s in (40.0, 80.0):
        watch.look()
        now[0] += 10_000
    trouble = watch.picture.trouble(Part.BROKER)
    assert trouble is not None
    assert (trouble.since_ms, trouble.text) == (NOON_MS, "no broker answers")
    assert watch.picture.known.serving is not None
    assert world.letters_read == asked  # the broker is asked for nothing else meanwhile
    # When it is back, then the trouble is gone, and the reader continues where it was.
    world.away, clock.now_s = None, 90.0
    watch.look()
    assert (watch.picture.troubles, len(world.opened)) == ((), 1)


def test_a_store_that_is_away_leaves_its_last_figures() -> None:
    world, clock = World(), ManualClock()
    watch = watch_of(world, clock)
    watch.look()
    world.store_away, clock.now_s = StoreError("connection refused"), 10.0
    watch.look()
    assert watch.picture.trouble(Part.STORE) is not None
    assert watch.picture.stats == pictures.stats()


def test_a_reader_that_fails_is_replaced_and_what_counts_is_what_the_new_one_reads() -> None:
    # Given a lineage that was read, and a reader that fails.
    world, clock = World(pictures.released().records), ManualClock()
    watch = watch_of(world, clock)
    watch.look()
    world.opened[0].failure, clock.now_s = StreamError("gone"), 1.0
    watch.look()
    assert watch.picture.trouble(Part.TOPICS) is not None
    assert world.opened[0].closed
    assert len(watch.picture.known.candidates) == 4
    # When the topics hold something else by then, then nothing of before is mixed into it.
    world.records = pictures.learning().records
    clock.now_s = 2.0
    watch.look()
    assert watch.picture.trouble(Part.TOPICS) is None
    assert watch.picture.known == known(world.records)


def test_topics_that_are_not_there_yet_are_a_trouble_and_no_letters_are_asked_for() -> None:
    world = World(broken=StreamError("no such topic; `ol0 topics apply` makes it"))
    watch = watch_of(world)
    watch.look()
    assert watch.picture.trouble(Part.TOPICS) is not None
    assert world.letters_read == 0


def test_the_thread_watches_and_closes_its_reader() -> None:
    world = World(pictures.learning().records)
    with Watch(world.sources()) as watch:
        wait_until(lambda: watch.picture.known.serving is not None, 5)
    assert world.opened[0].closed


def test_a_fault_of_the_watch_itself_is_told_and_ends_with_the_next_good_round() -> None:
    world = World(pictures.learning().records)
    broken = [ZeroDivisionError("division by zero")]

    def follow() -> LogReader:
        if broken:
            raise broken[0]
        return world.follow().reader

    with Watch(replace(world.sources(), follow=follow)) as watch:
        wait_until(lambda: watch.picture.trouble(Part.TOPICS), 5)
        trouble, seen = watch.picture.trouble(Part.TOPICS), watch.revision
        assert trouble is not None
        assert "ZeroDivisionError" in trouble.text
        broken.clear()
        wait_until(lambda: watch.picture.known.serving and not watch.picture.troubles, 5)
        assert watch.revision > seen


def test_the_lift_over_time_is_read_from_the_snapshots_that_are_still_there() -> None:
    points = known(pictures.learning().records).lift_points
    assert len(points) == 30
    assert [point.time_ms for point in points] == sorted(point.time_ms for point in points)
    assert points[-1].lift.low is not None


def test_a_history_of_any_length_is_a_plot_of_some_hundred_points_with_both_ends() -> None:
    history = LiftHistory()
    for second in range(10 * MOST_POINTS):
        history.add(LiftPoint(NOON_MS + second * 1_000, LiftInterval(0.1, None, None)))
    points = history.points()
    assert MOST_POINTS // 2 <= len(points) <= MOST_POINTS + 1
    assert points[0].time_ms == NOON_MS
    assert points[-1].time_ms == NOON_MS + (10 * MOST_POINTS - 1) * 1_000
    apart = {later.time_ms - earlier.time_ms for earlier, later in pairwise(points[:-1])}
    assert len(apart) == 1


def test_an_evaluator_that_repeats_itself_draws_no_line_back() -> None:
    history = LiftHistory()
    for at_ms in (5_000, 3_000, 5_000):
        history.add(LiftPoint(at_ms, LiftInterval(0.1, None, None)))
        assert [point.time_ms for point in history.points()] == [5_000]


def test_a_snapshot_of_the_evaluator_that_is_none_is_told_and_the_rest_is_known() -> None:
    records: list[Record] = [*pictures.learning().records, Snapshot("evaluator", NOON_MS + 9_000, b"{}")]
    broken = known(records)
    assert broken.flaw is not None
    assert broken.serving is not None
    assert broken.comparisons.groups == {}


def test_a_loop_is_where_its_head_says_and_parts_alone_move_nothing() -> None:
    def at(offset: int) -> list[Snapshot]:
        where = Positions({"shop.outcomes.v1": TopicPlace("id", {0: offset})}, NOON_MS)
        body = b"%d" % offset
        return [*parts_of("canary", NOON_MS, body), head_of("canary", NOON_MS, body, where)]

    knowledge = Knowledge()
    for record in (*at(5), *at(9)[:1]):
        knowledge.add(record)
    canary = knowledge.known().places[0]
    assert (canary.service, dict(canary.offsets)) == ("canary", {Partition("shop.outcomes.v1", 0): 5})


def letter(offset: int, error: str = "RangeError", time_ms: int = NOON_MS, flaws: tuple[str, ...] = ()) -> Letter:
    source = None if flaws else Place("shop.decisions.v1", 0, offset)
    return Letter(
        source=source,
        found_at=Place("shop.decisions.v1.dlq", 0, offset),
        time_ms=time_ms,
        key=None,
        value=b"",
        service="feedback",
        stage="decode",
        error_class=error,
        message=f"wrong at {offset}",
        truncated_from=None,
        key_truncated_from=None,
        flaws=flaws,
        headers=(),
    )


def test_letters_are_counted_by_kind_each_once_and_the_newest_speaks_for_its_kind() -> None:
    letters = [letter(1), letter(1), letter(2, time_ms=NOON_MS + 1), letter(3, "ContractError")]
    first, second = kinds_of(letters, Topics("shop")).kinds
    assert (first.topic, first.error, first.count, first.text) == ("decisions", "RangeError", 2, "wrong at 2")
    assert first.command == "ol0 dlq show decisions 0 2"
    assert "Fix the sender" in first.remedy
    assert second.error == "ContractError"


def test_a_letter_of_somebody_else_is_opened_by_its_own_place() -> None:
    (kind,) = kinds_of([letter(7, flaws=("no header service",))], Topics("shop")).kinds
    assert (kind.error, kind.command) == ("unreadable headers", "ol0 dlq show decisions.dlq 0 7")


@pytest.mark.parametrize(("count", "is_whole"), [(20_000, True), (20_001, False)])
def test_a_flood_of_letters_is_not_counted_to_its_end(count: int, *, is_whole: bool) -> None:
    assert kinds_of((letter(n) for n in range(count)), Topics("shop")).is_whole is is_whole
