"""``ol0 status``: one screen of what a lineage does now, read from its topics and its store."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from threading import Event
from time import monotonic

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from ol0.clock import wall_clock_ms
from ol0.config import Settings
from ol0.errors import StreamError
from ol0.kafka.topic_readers.log_reader import LogReader
from ol0.operator.figure_sources import Sources
from ol0.operator.figures import CandidateStory
from ol0.operator.fitted import Fitted
from ol0.operator.observation import OBSERVED_TOPICS, Observation, Observer
from ol0.operator.screen import candidates, facts
from ol0.operator.text import age, moment, plural
from ol0.records import Gate, Phase, Verdict, short
from ol0.replay.connection import connect
from ol0.replay.counters import Counters
from ol0.replay.store import ReplayStore

READ_S = 30.0
WATCH_S = 2.0
LOOK_S = 0.05
RESIZE_S = 0.2
TOPICS = tuple(name for name in OBSERVED_TOPICS if name != "outcomes")  # the store has the sums of those


def show_status(settings: Settings, console: Console) -> None:
    """Reads everything there is, once, and prints it.

    Raises:
        StreamError: Kafka does not answer, or the topics cannot be read to their end in time.
        StoreError: the store is out of reach.
    """
    counters = ReplayStore(connect(settings.redis), settings.kafka.topic_prefix).counters()
    now = _read(settings)
    console.print(status_screen(now, counters, settings.kafka.topic_prefix, wall_clock_ms()))


def watch_status(settings: Settings, console: Console, stop: Event) -> None:
    """The same, drawn again every two seconds, or when the terminal has another size, until ``stop`` is set.

    Raises:
        StreamError, StoreError: as ``show_status``.
    """
    store, prefix = ReplayStore(connect(settings.redis), settings.kafka.topic_prefix), settings.kafka.topic_prefix
    with _observer(settings) as observer, Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        _catch_up(settings, observer)
        while not stop.is_set():
            size, next_s = console.size, monotonic() + WATCH_S
            found = observer.observe(), store.counters(), prefix, wall_clock_ms()
            live.update(status_screen(*found, size.height), refresh=True)
            while console.size == size and monotonic() < next_s and not stop.wait(RESIZE_S):
                pass


def status_json(settings: Settings) -> str:
    """The same for machines.

    Raises:
        StreamError, StoreError: as ``show_status``.
    """
    counters = ReplayStore(connect(settings.redis), settings.kafka.topic_prefix).counters()
    return json.dumps(status_tree(_read(settings), counters, settings.kafka.topic_prefix), indent=2)


def status_tree(now: Observation, counters: Counters, lineage: str) -> dict[str, object]:
    """What ``status_screen`` shows, as plain values."""
    return {
        "lineage": lineage,
        "serving": None if now.serving is None else asdict(now.serving),
        "lift": asdict(now.lift) | {"event_time_ms": now.evaluated_ms, "written_ms": now.written_ms},
        "store": asdict(counters),
        "candidates": [
            {
                "digest": story.digest,
                "parent": story.parent,
                "step": story.step,
                "offered_ms": story.offered_ms,
                "phase": story.phase or Phase.OFFERED,
                "verdicts": {gate: _verdict_tree(verdict) for gate, verdict in (story.verdicts or {}).items()},
            }
            for story in now.candidates
        ],
    }


def _verdict_tree(verdict: Verdict) -> dict[str, object]:
    return {
        "judgement": verdict.judgement,
        "stage": verdict.stage,
        "evidence": verdict.evidence,
        "time_ms": verdict.time_ms,
        "reasons": [asdict(reason) for reason in verdict.reasons],
    }


def status_screen(
    now: Observation, counters: Counters, lineage: str, clock_ms: int, height: int | None = None
) -> RenderableType:
    """Serving state, what waits in the store, the candidates, and the newest verdict of each gate with its reasons.

    Args:
        now: everything that the topics say.
        counters: of the store.
        lineage: its name.
        clock_ms: the wall clock.
        height: rows of the window that it has to fit into; None: it may scroll.
    """
    waits = f"{plural(counters.open, 'open window')}, {counters.waiting:,} feedback waiting"
    done = f"{counters.decisions:,} decisions, {counters.outcomes:,} outcomes, {counters.examples:,} examples"
    return Fitted(
        above=Group(
            Text(f"lineage {lineage}", style="bold"),
            facts(now, _as_of(now, clock_ms)),
            *map(Text, _trial(now, clock_ms)),
            Text(f"store    {done}; {waits}"),
            Text(),
        ),
        table=partial(candidates, now.candidates, at=_offered),
        most=8,
        below=(Text(), *(line for gate in Gate for line in _last_word(now, gate))),
        height=height,
    )


def _as_of(now: Observation, clock_ms: int) -> str | None:
    """The event time that the lift holds for, and how old the word is."""
    if now.evaluated_ms is None or now.written_ms is None:
        return None
    return f"as of {moment(now.evaluated_ms)} event time, written {age((clock_ms - now.written_ms) / 1000)} ago"


def _trial(now: Observation, clock_ms: int) -> Iterator[str]:
    """When a trial came to its present stage: how it goes there, the canary says."""
    trial = None if now.serving is None else now.serving.staged
    story = None if trial is None else now.story(trial.digest)
    if trial is not None and story is not None and story.stage_began_ms is not None:
        ago = age((clock_ms - story.stage_began_ms) / 1000)
        yield f"         came to stage {trial.stage} at {moment(story.stage_began_ms)}, {ago} ago"


def _offered(story: CandidateStory) -> str:
    """By the record itself: the run began for this command when it was called."""
    return moment(story.offered_ms)[5:-4]  # the newest ones, so that the year goes without saying


def _last_word(now: Observation, gate: Gate) -> list[RenderableType]:
    verdicts = [seen.record for seen in now.verdicts if seen.record.gate is gate]
    if not verdicts:
        return [Text(f"{gate} has said nothing yet")]
    newest = verdicts[-1]
    title = f"{gate} says {newest.judgement} of {short(newest.digest)} at stage {newest.stage}:"
    return [Text(title), *(Padding(Text(reason.text), (0, 0, 0, 2)) for reason in newest.reasons)]


def _read(settings: Settings) -> Observation:
    with _observer(settings) as observer:
        _catch_up(settings, observer)
        return observer.observe()


def _observer(settings: Settings) -> Observer:
    return Observer(LogReader(settings, TOPICS), Sources(decisions=lambda: 0, planned=0))


def _catch_up(settings: Settings, observer: Observer) -> None:
    deadline_s, pause = monotonic() + READ_S, Event()
    while not observer.caught_up:
        if monotonic() > deadline_s:
            prefix = settings.kafka.topic_prefix
            raise StreamError(f"the topics of {prefix} were not read to their end in {READ_S:g} s: is Kafka up?")
        pause.wait(LOOK_S)
