"""``ol0 status``: one screen of what a lineage does now, read from its topics and its store."""

from threading import Event
from time import monotonic

from rich.console import Console, Group, RenderableType
from rich.text import Text

from ol0.config import Settings
from ol0.errors import StreamError
from ol0.records import Gate
from ol0.replay.connection import connect
from ol0.replay.counters import Counters
from ol0.replay.store import ReplayStore
from ol0.soak.observation import OBSERVED_TOPICS, Observation, Observer
from ol0.soak.screen import candidates, facts
from ol0.soak.sources import Sources
from ol0.soak.words import plural
from ol0.streaming.follow import Follower

READ_S = 30.0
LOOK_S = 0.05
TOPICS = tuple(name for name in OBSERVED_TOPICS if name != "outcomes")  # the store has the sums of those


def show_status(settings: Settings, console: Console) -> None:
    """Reads everything there is, once, and prints it.

    Raises:
        StreamError: Kafka does not answer, or the topics cannot be read to their end in time.
        StoreError: the store is out of reach.
    """
    counters = ReplayStore(connect(settings.redis), settings.kafka.topic_prefix).counters()
    console.print(status_screen(_read(settings), counters, settings.kafka.topic_prefix))


def status_screen(now: Observation, counters: Counters, lineage: str) -> RenderableType:
    """Serving state, what waits in the store, the candidates, and the newest verdict of each gate with its reasons."""
    waits = f"{plural(counters.open, 'open window')}, {counters.waiting:,} feedback waiting"
    done = f"{counters.decisions:,} decisions, {counters.outcomes:,} outcomes, {counters.examples:,} examples"
    return Group(
        Text(f"lineage {lineage}", style="bold"),
        facts(now),
        Text(f"store    {done}; {waits}"),
        Text(),
        candidates(now.candidates, rows=min(len(now.candidates), 8)),
        Text(),
        *(line for gate in Gate for line in _last_word(now, gate)),
    )


def _last_word(now: Observation, gate: Gate) -> list[Text]:
    verdicts = [seen.record for seen in now.verdicts if seen.record.gate is gate]
    if not verdicts:
        return [Text(f"{gate} has said nothing yet")]
    newest = verdicts[-1]
    title = f"{gate} says {newest.judgement} of {newest.digest[:8]} at stage {newest.stage}:"
    return [Text(title), *(Text(f"  {reason.text}") for reason in newest.reasons)]


def _read(settings: Settings) -> Observation:
    deadline_s, pause = monotonic() + READ_S, Event()
    with Observer(Follower(settings, TOPICS), Sources(decisions=lambda: 0, planned=0)) as observer:
        while not observer.caught_up:
            if monotonic() > deadline_s:
                prefix = settings.kafka.topic_prefix
                raise StreamError(f"the topics of {prefix} were not read to their end in {READ_S:g} s: is Kafka up?")
            pause.wait(LOOK_S)
        return observer.observe()
