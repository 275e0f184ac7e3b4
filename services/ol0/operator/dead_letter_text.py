"""Dead letters in words: lines for a terminal, and what to do about each."""

from collections.abc import Mapping
from typing import Final

from ol0.kafka.dead_letters.reader import Letter
from ol0.kafka.dead_letters.resend import Forecast
from ol0.operator.text import moment

SHORT: Final = 100
"""Characters of an error in a list."""
NOT_A_RECORD: Final = (
    "The bytes are no record that this topic takes. Find the sender by key and time and put it right; it has to "
    "send its records anew, for these bytes stay what they are"
)
WRONG_VALUE: Final = (
    "The record is well-formed, but a value may not be. Put the sender right; it has to send the record anew"
)
ANOTHER_LINEAGE: Final = (
    "The record does not fit this lineage. Compare the sender's base with this lineage's `serving.base`: another "
    "number of features or actions is another lineage. If the settings here were wrong: put them right, restart the "
    "service, then `ol0 dlq replay`"
)
REFUSED_BY_SERVICE: Final = (
    "The service itself refused it. Put right what the message says, restart the service, then `ol0 dlq replay`"
)
UNKNOWN_SCHEMA: Final = (
    "The sender uses a schema id that the reader did not know. If a schema registry gave it: have the producer write "
    "the id of schemas/ids.json, and send its records anew. If a newer OL0 has it in schemas/ids.json: install that "
    "version, restart the services, then `ol0 dlq replay`"
)
TRUNCATED: Final = (
    "Its value or key is larger than its topic takes, and only the beginning is here. The sender has to send less; it "
    "cannot be replayed"
)
NOT_OURS: Final = (
    "No service of OL0 writes such headers. Find out who else may write to the dead-letter topic; it is never replayed"
)
NO_REMEDY: Final = "Another version of OL0 wrote this letter: see its errors.py for what the error class means"
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
        *(f"  not as OL0 writes it: {flaw}" for flaw in letter.flaws),
        f"  key: {'none' if letter.key is None else letter.key.decode(errors='backslashreplace')}",
        *(f"  {name}: {(value or b'').decode(errors='backslashreplace')}" for name, value in letter.headers),
    ]


def forecast_line(forecast: Forecast, action: str) -> str:
    """What would become of a letter, what is done about it, and why."""
    reason = f": {forecast.reason}" if forecast.reason else ""
    return f"{where(forecast.letter)}: {forecast.prospect}, {action}{reason}"


def where(letter: Letter) -> str:
    """Where the bad record stands, or the letter if that is not known."""
    return str(letter.source or letter.found_at)


def plain(text: str) -> str:
    r"""Text that leaves a terminal alone: strangers write keys and headers.

    >>> plain("red\x1b[31m")
    'red\\x1b[31m'
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
