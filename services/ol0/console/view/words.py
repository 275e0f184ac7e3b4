"""Words and tones that several parts of the page share."""

from enum import StrEnum
from typing import Final

from ol0.operator.text import DASH, age, moment
from ol0.records import Judgement, Phase

NOW_MS: Final = 3_000


class Tone(StrEnum):
    """How something is to be taken: the class of its colour in the style sheet."""

    GOOD = "good"
    OPEN = "open"
    BAD = "bad"
    QUIET = "quiet"
    LIVE = "live"
    STAGED = "staged"


JUDGEMENTS: Final = {
    Judgement.APPROVE: ("approves", Tone.GOOD),
    Judgement.REJECT: ("rejects", Tone.BAD),
    Judgement.ROLLBACK: ("rolls back", Tone.BAD),
    Judgement.HOLD: ("waits for evidence", Tone.OPEN),
}
PHASES: Final = {
    Phase.OFFERED: ("offered", Tone.OPEN),
    Phase.STAGED: ("on trial", Tone.STAGED),
    Phase.LIVE: ("serves", Tone.LIVE),
    Phase.SUPERSEDED: ("served before", Tone.QUIET),
    Phase.REJECTED: ("rejected", Tone.BAD),
    Phase.QUARANTINED: ("rolled back", Tone.BAD),
}


def ago(time_ms: int, clock_ms: int) -> str:
    """``25 min ago``; where the clock of the records is ahead, as in a simulation, nothing."""
    if clock_ms < time_ms:
        return ""
    return "just now" if clock_ms - time_ms < NOW_MS else f"{age((clock_ms - time_ms) / 1000)} ago"


def since(time_ms: int | None, clock_ms: int) -> str:
    """``2026-11-28 11:35:00Z, 25 min ago``."""
    if time_ms is None:
        return DASH
    return ", ".join(filter(None, (moment(time_ms), ago(time_ms, clock_ms))))


def begun(text: str) -> str:
    """The text with a capital first letter; the rest stays as it is.

    >>> begun("not OL0's")
    "Not OL0's"
    """
    return text[:1].upper() + text[1:]


def name_of(check: str) -> str:
    """The name of a check in words."""
    return check.replace("_", " ")
