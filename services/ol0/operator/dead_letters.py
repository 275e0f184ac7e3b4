"""``ol0 dlq``: what could not be used, why, what helps, and sending it again."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Final, NoReturn

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ol0.clock import wall_clock_ms
from ol0.config import Settings
from ol0.controller.checkpoint import read_base
from ol0.errors import StreamError
from ol0.feedback.handler import FeedbackHandler
from ol0.feedback.service import SOURCES
from ol0.kafka.dead_letters.autopsy import examine
from ol0.kafka.dead_letters.reader import (
    Letter,
    Place,
    once,
    read_letters,
    source_topic,
    topics_with_letters,
)
from ol0.kafka.dead_letters.resend import Check, Examiner, Forecast, Prospect, resend
from ol0.kafka.lineage import Lineage
from ol0.operator.dead_letter_text import forecast_line, headline, plain, remedy, short_line
from ol0.operator.text import moment
from ol0.wire.payloads import Payloads

DEAD_LETTER: Final = ".dlq"
NOT_SENT: Final = "nothing was sent; add --apply to send what is not refused"
NONE_TO_SEND: Final = "nothing was sent, and --apply would send nothing"
UNREADABLE: Final = "(unreadable headers)"


def list_letters(settings: Settings, topic: str | None, limit: int, console: Console) -> None:
    """Counts by topic and error class, then the newest ``limit`` letters, one a line.

    Raises:
        StreamError: no such topic, or Kafka does not answer.
    """
    lineage = Lineage.of(settings.kafka)
    names = _names(lineage, topic)
    counts: Counter[tuple[str, str]] = Counter()
    newest_ms: defaultdict[tuple[str, str], int] = defaultdict(int)
    newest: list[tuple[int, int, Letter]] = []
    for number, letter in enumerate(once(read_letters(lineage, names))):
        kind = (_logical(letter, lineage), UNREADABLE if letter.flaws else letter.error_class)
        counts[kind] += 1
        newest_ms[kind] = max(newest_ms[kind], letter.time_ms)
        keep = heapq.heappushpop if len(newest) >= limit else heapq.heappush
        keep(newest, (letter.time_ms, number, letter))
    if not counts:
        where = f"{source_topic(lineage.topics, topic)} of " if topic else ""
        _say(console, f"no dead letters in {where}lineage {lineage.topics.prefix}")
        return
    console.print(_table(counts, newest_ms))
    letters = [letter for _, _, letter in sorted(newest, reverse=True)]
    _say(console, *map(short_line, letters), f"`{_opening(letters[0], lineage)}` opens the newest")


def show_letter(settings: Settings, topic: str, partition: int, offset: int, console: Console) -> None:
    """Everything about one bad record, by its own coordinates or, for ``<topic>.dlq``, by those of its letter.

    Raises:
        StreamError: there is no such letter or topic, or Kafka does not answer.
    """
    lineage = Lineage.of(settings.kafka)
    name = source_topic(lineage.topics, topic.removesuffix(DEAD_LETTER))
    by_letter = topic.endswith(DEAD_LETTER)
    full = lineage.topics.dead_letter(name) if by_letter else lineage.topics.full(name)
    place = Place(full, partition, offset)
    letters = [letter for letter in read_letters(lineage, [name]) if place in {letter.source, letter.found_at}]
    if not letters:
        _refuse_missing(place)
    for letter in letters:
        _say(console, *headline(letter))
    letter = letters[0]
    remains = examine(letter.value)
    _say(console, "", f"{remains.what}:", *(f"  {line}" for line in remains.lines), "", remedy(letter))


def rehearse(settings: Settings, topic: str | None, where: str, console: Console) -> None:
    """Says of each letter what would become of it if it were sent again. Sends nothing.

    Raises:
        StreamError: no such topic, or Kafka does not answer.
    """
    counts: Counter[Prospect] = Counter()
    for forecast in _forecasts(settings, topic, where, console):
        counts[forecast.prospect] += 1
        stays = forecast.prospect is Prospect.REFUSED
        _say(console, forecast_line(forecast, "stays" if stays else f"goes to {_goal(forecast.letter)}"))
    said = ", ".join(f"{counts[prospect]:,} {prospect}" for prospect in Prospect if counts[prospect])
    sendable = counts.total() - counts[Prospect.REFUSED]
    _say(console, f"{said}; {NOT_SENT if sendable else NONE_TO_SEND}" if said else _nothing(where))


def replay(settings: Settings, topic: str | None, where: str, console: Console) -> None:
    """Sends the letters again that would, or may, be accepted; leaves the others. Deletes nothing.

    Raises:
        StreamError: no such topic, or Kafka does not answer or refuses.
    """
    left = 0

    def sendable() -> Iterator[Letter]:
        nonlocal left
        for forecast in _forecasts(settings, topic, where, console):
            if forecast.prospect is Prospect.REFUSED:
                left += 1
                _say(console, forecast_line(forecast, "stays"))
            else:
                _say(console, forecast_line(forecast, f"sending to {_goal(forecast.letter)}"))
                yield forecast.letter

    sent = resend(sendable(), Lineage.of(settings.kafka))
    _say(console, f"{sent:,} sent and acknowledged, {left:,} left" if sent or left else _nothing(where))


def _forecasts(settings: Settings, topic: str | None, where: str, console: Console) -> Iterator[Forecast]:
    lineage = Lineage.of(settings.kafka)
    names = _names(lineage, topic)
    checks = _checks(settings, lineage)
    if not checks and set(names) & set(SOURCES):
        _say(console, "serving.base is not set: whether features and actions fit this lineage is not checked")
    streaming = settings.streaming
    open_ms = round((streaming.reward_window_s + streaming.allowed_lateness_s) * 1000)
    # Where a harness is the clock, the wall says nothing about windows.
    closed_before_ms = wall_clock_ms() - open_ms if streaming.clock == "wall" else None
    examiner = Examiner(lineage, checks, closed_before_ms)
    for letter in once(read_letters(lineage, names)):
        if letter.mentions(where):
            yield examiner.forecast(letter)


def _checks(settings: Settings, lineage: Lineage) -> dict[str, Check]:
    """What the feedback service checks after decoding, if the settings name the base that it checks against."""
    if settings.serving.base is None:
        return {}
    base = read_base(settings.serving.base)
    handler = FeedbackHandler(settings.streaming, base.dimension, base.choices, Payloads(lineage.codec))
    return dict.fromkeys(SOURCES, handler.check)


def _names(lineage: Lineage, topic: str | None) -> list[str]:
    return topics_with_letters(lineage.topics) if topic is None else [source_topic(lineage.topics, topic)]


def _logical(letter: Letter, lineage: Lineage) -> str:
    return lineage.topics.logical(letter.found_at.topic.removesuffix(DEAD_LETTER))


def _opening(letter: Letter, lineage: Lineage) -> str:
    """The command that shows a letter: by the place of the bad record, or by its own where its headers name none."""
    place, ending = (letter.source, "") if letter.source else (letter.found_at, DEAD_LETTER)
    return f"ol0 dlq show {_logical(letter, lineage)}{ending} {place.partition} {place.offset}"


def _nothing(where: str) -> str:
    return f"no dead letter with {where!r} in it; `ol0 dlq list` names them" if where else "no dead letters to replay"


def _refuse_missing(place: Place) -> NoReturn:
    raise StreamError(
        f"no dead letter of {place}; `ol0 dlq list` shows those that there are, and they are kept for 7 days"
    )


def _table(counts: Counter[tuple[str, str]], newest_ms: Mapping[tuple[str, str], int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("topic")
    table.add_column("error")
    table.add_column("letters", justify="right")
    table.add_column("newest")
    for (topic, error), count in sorted(counts.items()):
        table.add_row(topic, Text(plain(error)), f"{count:,}", moment(newest_ms[topic, error]))
    return table


def _goal(letter: Letter) -> str:
    assert letter.source is not None
    return f"{letter.source.topic}[{letter.source.partition}]"


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(plain(line), soft_wrap=True, markup=False, highlight=False, emoji=False)
