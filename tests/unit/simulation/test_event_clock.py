from collections.abc import Iterable

from ol0.errors import StreamError
from ol0.records import Tick
from ol0.simulation.event_clock import LONGEST_STEP_S, EventClock, Place

PLACES = [("ol0.decisions.v1", 0), ("ol0.outcomes.v1", 0)]
START_MS = 1_000_000


class Broker:
    """Takes ticks, or does not."""

    def __init__(self) -> None:
        self.up = True
        self.ticks: list[tuple[int | None, list[Place]]] = []

    def send_ticks(self, tick: Tick, places: Iterable[Place]) -> None:
        if not self.up:
            raise StreamError("away")
        self.ticks.append((tick.time_ms, list(places)))


class World:
    """A clock at 40 times the pace of a wall that moves by hand."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.wall_s = 0.0
        self.clock = EventClock(self.broker.send_ticks, PLACES, 40, START_MS, lambda: self.wall_s)

    def step_after(self, wall_s: float) -> int:
        """Milliseconds of event time that one step brought."""
        before = self.clock()
        self.wall_s += wall_s
        self.clock.step()
        return self.clock() - before


def test_a_tenth_of_a_second_is_four_seconds_at_forty_times_the_pace() -> None:
    world = World()
    assert world.step_after(0.1) == 4_000
    assert world.clock() == START_MS + 4_000


def test_every_partition_is_told_the_time() -> None:
    world = World()
    world.step_after(0.1)
    world.step_after(0.1)
    assert world.broker.ticks == [(START_MS + 4_000, PLACES), (START_MS + 8_000, PLACES)]


def test_time_stands_still_while_ticks_are_not_acknowledged() -> None:
    world = World()
    world.broker.up = False
    assert [world.step_after(10.0) for _ in range(6)] == [0] * 6


def test_after_an_outage_time_goes_on_where_it_stood() -> None:
    world = World()
    world.broker.up = False
    world.step_after(60.0)
    world.broker.up = True
    assert world.step_after(0.1) == 4_000


def test_one_step_is_bounded_after_a_pause() -> None:
    world = World()
    assert world.step_after(3_600.0) == LONGEST_STEP_S * 40 * 1000


def test_the_clock_runs_by_itself_until_it_is_left() -> None:
    broker = Broker()
    with EventClock(broker.send_ticks, PLACES, 40, START_MS) as clock:
        assert clock() == START_MS
    assert not clock._thread.is_alive()
