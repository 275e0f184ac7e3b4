"""Figures in words, the same on the terminal and in the report: rates in percent, differences in points."""

from datetime import UTC, datetime
from typing import Final

from ol0.operator.figures import LiftInterval, deciding_reason
from ol0.records import DIFFERENCES, Judgement, Phase, Reason, Transition, Verdict, short

MINUS: Final = "\N{MINUS SIGN}"
DASH: Final = "\N{EN DASH}"
INVISIBLE: Final = 0.0005
RARE: Final = 0.01
SAYS: Final = {
    Judgement.APPROVE: "approves",
    Judgement.REJECT: "rejects",
    Judgement.ROLLBACK: "rolls back",
    Judgement.HOLD: "waits for evidence on",
}


def clock(seconds: float) -> str:
    """Minutes and seconds, hours where there are any.

    >>> clock(67.9), clock(3723)
    ('1:07', '1:02:03')
    """
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def age(seconds: float) -> str:
    """How long something lasts, as exactly as people need it.

    >>> age(42), age(754), age(19_500), age(400_000)
    ('42 s', '12 min', '5 h 25 min', '4 days 15 h')
    """
    minutes = int(seconds // 60)
    hours, days = minutes // 60, minutes // 1_440
    if days:
        return f"{plural(days, 'day')} {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{max(0, int(seconds))} s"


def moment(time_ms: int) -> str:
    """UTC, to the second.

    >>> moment(1_700_000_000_000)
    '2023-11-14 22:13:20Z'
    """
    try:
        return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
    except (ValueError, OverflowError, OSError):
        return f"time {time_ms}"


def percent(share: float | None) -> str:
    """A rate: ``57.8 %``; of a rare one both digits that matter: ``0.49 %``."""
    if share is None:
        return DASH
    return f"{_minus(f'{share * 100:.{2 if 0 < abs(share) < RARE else 1}f}')} %"


def signed_percent(share: float | None) -> str:
    """A relative change: ``+35.2 %``."""
    return DASH if share is None else f"{_minus(f'{share * 100:+.1f}')} %"


def signed_points(difference: float | None) -> str:
    """A difference of two rates, without the word: ``+2.1``."""
    return DASH if difference is None else _minus(f"{difference * 100:+.1f}")


def plural(count: int, noun: str) -> str:
    """``1 release``, ``2 releases``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def lift_text(lift: LiftInterval) -> str:
    """The lift with its interval, open where there is no evidence for an end.

    >>> lift_text(LiftInterval(0.352, 0.21, None))
    '+35.2 %, at least +21.0 %'
    """
    if lift.estimate is None:
        return "not known yet"
    estimate = signed_percent(lift.estimate)
    if lift.doubt is not None:
        return f"{estimate}, which proves nothing: {lift.doubt}"
    if lift.low is not None and lift.high is not None:
        return f"{estimate}, between {signed_percent(lift.low)} and {signed_percent(lift.high)}"
    if lift.low is not None:
        return f"{estimate}, at least {signed_percent(lift.low)}"
    if lift.high is not None:
        return f"{estimate}, at most {signed_percent(lift.high)}"
    return f"{estimate}, with no evidence for an interval yet"


def stage_text(stage: int) -> str:
    """``offline`` before any session, ``staged 1`` on the first share of them."""
    return "offline" if stage == 0 else f"staged {stage}"


def reason_text(reason: Reason) -> str:
    """The figure of one check, with its bound where it has one."""
    if reason.figure is None:
        return reason.text
    if reason.check in DIFFERENCES:
        figure, bound = f"{signed_points(reason.figure)} points", signed_points(reason.bound)
    else:
        figure, bound = f"{reason.check.replace('_', ' ')} {_plain(reason.figure)}", _plain(reason.bound)
    if reason.bound is None:
        return figure
    return f"{figure}, at {'least' if reason.bound <= reason.figure else 'most'} {bound}"


def verdict_sentence(verdict: Verdict) -> str:
    """One verdict for someone who reads along."""
    reason = deciding_reason(verdict)
    where = (
        "offline" if verdict.stage == 0 else f"at stage {verdict.stage}, after {plural(verdict.evidence, 'session')}"
    )
    why = "" if reason is None else f": {reason.text or reason_text(reason)}"
    return sentence(f"{verdict.gate.capitalize()} {SAYS[verdict.judgement]} {short(verdict.digest)} {where}{why}")


def transition_sentence(transition: Transition, *, with_cause: bool = True) -> str:
    """One step in the life of a checkpoint, with its cause."""
    steps = {
        Phase.OFFERED: "is offered",
        Phase.STAGED: "starts its trial on a share of the sessions",
        Phase.LIVE: "is released and serves now",
        Phase.SUPERSEDED: "is superseded",
        Phase.REJECTED: "is rejected",
        Phase.QUARANTINED: "is rolled back and will never serve again",
    }
    cause = f": {transition.cause}" if with_cause and transition.cause else ""
    return sentence(f"Checkpoint {short(transition.digest)} {steps[transition.to_phase]}{cause}")


def sentence(text: str) -> str:
    """The text with one full stop at its end."""
    return text.rstrip().rstrip(".") + "."


def _plain(number: float | None) -> str:
    """Counts in full, anything else with three digits that matter; what is too small to show is zero."""
    if number is None:
        return DASH
    if 0 < abs(number) < INVISIBLE:
        return "0.000"
    return _minus(f"{number:,.0f}" if number.is_integer() else f"{number:.3g}")


def _minus(number: str) -> str:
    """The typographic minus sign, as wide as a digit; no minus before a zero."""
    return number.removeprefix("-") if not number.strip("-+0.") else number.replace("-", MINUS)
