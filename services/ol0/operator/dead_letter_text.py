"""Dead letters in words: lines for a terminal, and what to do about each."""

from collections.abc import Mapping
from typing import Final

from ol0.kafka.dead_letters.reader import Letter
from ol0.kafka.dead_letters.resend import Forecast
from ol0.operator.text import moment

SHORT: Final = 100
"""Characters of an error in a list."""
NOT_A_RECORD: Final = (
    "These bytes are not a record that this topic accepts. Find the sender by key and time, fix it, and let it send "
    "its records again; these bytes cannot be repaired"
)
WRONG_VALUE: Final = (
    "The record is well-formed, but a value is out of range. Fix the sender and let it send the record again"
)
ANOTHER_LINEAGE: Final = (
    "The record does not match this lineage. Compare the sender's base with this lineage's `serving.base`: a different "
    "number of features or actions means a different lineage. If the settings here were wrong, fix them, restart the "
    "service, then run `ol0 dlq replay`"
)
REFUSED_BY_SERVICE: Final = (
    "The service refused it. Fix what the message says, restart the service, then run `ol0 dlq replay`"
)
UNKNOWN_SCHEMA: Final = (
    "The sender uses a schema id that the reader does not know. If a schema registry assigned it, let the producer "
    "write the id of schemas/ids.json and send its records again. If a newer OL0 has the id there, install "
    "that version, restart the services, then run `ol0 dlq replay`"
)
TRUNCATED: Final = (
    "Its value or key is larger than its topic accepts, and only the beginning is stored. The sender has to send less; "
    "this letter cannot be replayed"
)
NOT_OURS: Final = (
    "No service of OL0 writes such headers. Find out who else can write to the dead-letter topic; this letter is never "
    "replayed"
)
NO_REMEDY: Final = "Another version of OL0 wrote this letter: its errors.py explains the error class"
REMEDIES: Final[Mapping[tuple[str, str], str]] = {
    ("decode", "ContractError"): NOT_A_RECORD,
    ("decode", "RangeError"): WRONG_VALUE,
    ("decode", "UnknownSchema"): UNKNOWN_SCHEMA,
    ("check", "ContractError"): ANOTHER_LINEAGE,
    ("check", "RangeError"): ANOTHER_LINEAGE,
    ("handle", "ContractError"): REFUSED_BY_SERVICE,
    ("handle", "RangeError"): REFUSED_BY_SERVICE,
    ("handle", "SignatureError"): REFUSED_BY_SERVICE,
}


def remedy(letter: Letter) -> str:
    """What to do about a letter, by its error class and the stage that raised it."""
    if letter.flaws:
        return NOT_OURS
    if letter.cut:
        return TRUNCATED
    return REMEDIES.get((letter.stage, letter.error_class), NO_REMEDY)


def short_line(letter: Letter) -> str:
    """One letter in a list: where, when, and what is wrong."""
    text = "; ".join(letter.flaws) if letter.flaws else f"{letter.error_class}: {letter.message}"
    error = text if len(text) <= SHORT else f"{text[: SHORT - 1]}…"
    return f"{where(letter)}  {moment(letter.time_ms)}  {error}"


def headline(letter: Letter) -> list[str]:
    """Where a letter is from and all that its headers say."""
    return [
        f"{letter.source or 'unknown source'}, dead letter {letter.found_at}, {moment(letter.time_ms)}",
        *(f"  unexpected header: {flaw}" for flaw in letter.flaws),
        f"  key: {'none' if letter.key is None else letter.key.decode(errors='backslashreplace')}",
        *(f"  {name}: {(value or b'').decode(errors='backslashreplace')}" for name, value in letter.headers),
    ]


def forecast_line(forecast: Forecast, action: str) -> str:
    """What would become of a letter, what is done about it, and why."""
    reason = f": {forecast.reason}" if forecast.reason else ""
    return f"{where(forecast.letter)}: {forecast.prospect}, {action}{reason}"


def where(letter: Letter) -> str:
    """The place of the bad record, or of the letter if that is unknown."""
    return str(letter.source or letter.found_at)


def plain(text: str) -> str:
    r"""Text that leaves a terminal alone: strangers write keys and headers.

    >>> plain("red\x1b[31m")
    'red\\x1b[31m'
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
