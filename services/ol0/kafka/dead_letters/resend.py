"""Dead letters on their way back: whether they would be accepted now, and sending them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ol0.errors import ContractError, StreamError
from ol0.kafka.dead_letters.reader import Letter
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import Outgoing
from ol0.kafka.sending.acknowledgements import send_all
from ol0.records import Decision, ImplicitFeedback, Outcome, Record, ToolFeedback, UserFeedback

Check = Callable[[Record], None]

REPLAYED_FROM: Final = "ol0.replayed-from"
ACKNOWLEDGED_S: Final = 30.0
ORDINARY_STAGE: Final = "decode"


class Prospect(StrEnum):
    """What would become of a letter if it were sent again now."""

    ACCEPTED = "would be accepted"
    UNCERTAIN = "may be accepted"  # who refused it is a service, and only the service can say
    REFUSED = "would be refused"


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is to be expected of a letter, and why."""

    letter: Letter
    prospect: Prospect
    reason: str = ""


class Examiner:
    """Holds letters against today's code and settings, as the services would.

    Args:
        lineage: its topics and its codec.
        checks: by logical topic: refuses a decoded record by a ContractError, as the service that reads it does.
        closed_before_ms: windows of decisions before this time are closed; None: unknown.
    """

    def __init__(self, lineage: Lineage, checks: Mapping[str, Check], closed_before_ms: int | None = None) -> None:
        self._lineage = lineage
        self._checks = checks
        self._closed_before_ms = closed_before_ms

    def forecast(self, letter: Letter) -> Forecast:
        """What would become of a letter."""
        if letter.source is None or letter.flaws:
            return Forecast(letter, Prospect.REFUSED, f"no service of OL0 wrote it: {'; '.join(letter.flaws)}")
        if letter.cut:
            return Forecast(letter, Prospect.REFUSED, letter.cut)
        name = self._lineage.topics.logical(letter.source.topic)
        spec = self._lineage.topics.spec(name)
        if spec.compacted:
            reason = f"in {name} the newest record of a key holds: an old one would undo what was ordered since"
            return Forecast(letter, Prospect.REFUSED, reason)
        try:
            record = self._lineage.codec.decode_from(spec, letter.value)
            self._checks.get(name, _take_all)(record)
        except ContractError as error:
            return Forecast(letter, Prospect.REFUSED, f"{type(error).__name__}: {error}")
        if letter.stage == ORDINARY_STAGE or (letter.stage == "check" and name in self._checks):
            return Forecast(letter, Prospect.ACCEPTED, self._note(record))
        reason = f"it can be decoded; {letter.service} refused it at stage {letter.stage}, and only it can say"
        return Forecast(letter, Prospect.UNCERTAIN, reason)

    def _note(self, record: Record) -> str:
        """What an accepted record may still come to."""
        match record:
            case Decision() | UserFeedback() | ToolFeedback() | ImplicitFeedback():
                if self._closed_before_ms is not None and record.time_ms < self._closed_before_ms:
                    return "its window has closed by now: expect a counted drop and no example"
            case Outcome():
                return f"readers that are past sequence {record.sequence} pass over it"
        return ""


def resend(letters: Iterable[Letter], lineage: Lineage, timeout_s: float = ACKNOWLEDGED_S) -> int:
    """Sends letters that have a source to it again, to the partition where they stood; returns how many there were.

    Raises:
        StreamError: not every one was acknowledged. Those that were may be sent again: what counts by id counts once.
    """
    sent, found = send_all(lineage.clients.producer(), map(outgoing_again, letters), timeout_s)
    if found.delivered < sent:
        reason = found.reason or f"no acknowledgement within {timeout_s:g} s"
        raise StreamError(
            f"{found.delivered:,} of {sent:,} dead letters were acknowledged: {reason}. All are still there: "
            "fix this and send them again"
        )
    return sent


def outgoing_again(letter: Letter) -> Outgoing:
    """The message of a letter that has a source.

    It goes to its own partition: each gate's verdicts have one, and a message without a key has no other way back.
    """
    source = letter.source
    assert source is not None
    origin = f"{source.topic}/{source.partition}/{source.offset}"
    return Outgoing(source.topic, letter.key, letter.value, source.partition, [(REPLAYED_FROM, origin)])


def _take_all(_: Record) -> None:
    """Where no service's check is known."""
