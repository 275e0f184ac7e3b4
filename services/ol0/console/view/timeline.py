"""Releases, rollbacks and orders, newest first: one line each, and the whole story behind it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from ol0.console.observing.knowledge import Known
from ol0.console.view.candidates import GateView, gate_view
from ol0.console.view.words import Tone, ago
from ol0.operator.text import moment, sentence
from ol0.records import Digest, OperatorCommand, OperatorKind, Phase, Transition, brief, short

SHOWN: Final = 30
ORDERS: Final = {OperatorKind.FREEZE: "Frozen", OperatorKind.THAW: "Thawed", OperatorKind.MODE: "Mode"}
"""Orders that move no checkpoint; what the others do, transitions tell."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step in the life of a checkpoint."""

    when: str
    text: str
    cause: str


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the timeline, and what there is behind it.

    Attributes:
        key: names the line from one page to the next.
        what: in a word or two.
        line: the same in a line.
        cause: as the release service wrote it.
        approvals: the verdicts that let the checkpoint serve.
        life: every step of the checkpoint.
    """

    key: str
    when: str
    ago: str
    tone: Tone
    what: str
    line: str
    digest: str
    cause: str
    approvals: tuple[GateView, ...]
    life: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The newest first, and how many more there are."""

    shown: tuple[Event, ...]
    hidden: int
    total: int


@dataclass(frozen=True, slots=True)
class _Change:
    """What one record of the release service changed of who serves."""

    time_ms: int
    tone: Tone
    what: str
    line: str
    digest: Digest | None
    cause: str
    key: str


def timeline(known: Known, clock_ms: int, *, full: bool) -> Timeline:
    """All of it where ``full``, else the newest."""
    changes = [*_moves(known.transitions), *filter(None, map(_order, known.orders))]
    changes.sort(key=lambda it: -it.time_ms)
    shown = changes if full else changes[:SHOWN]
    lives = _lives(known.transitions, {it.digest for it in shown})
    events = tuple(_event(it, known, lives.get(it.digest, ()), clock_ms) for it in shown)
    return Timeline(events, len(changes) - len(shown), len(changes))


def _event(change: _Change, known: Known, life: tuple[Step, ...], clock_ms: int) -> Event:
    verdicts = known.approvals.get(change.digest, ()) if change.digest and change.what == "Released" else ()
    return Event(
        key=change.key,
        when=moment(change.time_ms),
        ago=ago(change.time_ms, clock_ms),
        tone=change.tone,
        what=change.what,
        line=change.line,
        digest=change.digest or "",
        cause=change.cause,
        approvals=tuple(gate_view(verdict, clock_ms) for verdict in verdicts),
        life=life,
    )


def _moves(transitions: Iterable[Transition]) -> Iterator[_Change]:
    """Changes of what serves. What one record did to several checkpoints is one change."""
    for _, group in groupby(transitions, key=lambda it: (it.serving_sequence, it.time_ms)):
        moves = list(group)
        fallen = next((it for it in moves if it.to_phase is Phase.QUARANTINED), None)
        risen = next((it for it in moves if it.to_phase is Phase.LIVE), None)
        if fallen is not None:
            yield _fall(fallen, risen)
        elif risen is not None:
            yield _rise(risen, next((it for it in moves if it.to_phase is Phase.SUPERSEDED), None))


def _fall(fallen: Transition, risen: Transition | None) -> _Change:
    was = "on trial" if fallen.from_phase is Phase.STAGED else "live"
    then = "" if risen is None else f"; {_name(risen)} serves again"
    line = _sentence(f"{_name(fallen)} was {was} and never serves again{then}")
    return _change(fallen, Tone.BAD, "Rolled back", line)


def _rise(risen: Transition, former: Transition | None) -> _Change:
    instead = "" if former is None else f" in place of {short(former.digest)}"
    if risen.from_phase is Phase.SUPERSEDED:
        return _change(risen, Tone.OPEN, "Reinstated", _sentence(f"{_name(risen)} serves again{instead}"))
    return _change(risen, Tone.GOOD, "Released", _sentence(f"{_name(risen)} serves{instead}"))


def _change(move: Transition, tone: Tone, what: str, line: str) -> _Change:
    key = f"{brief(move.digest)}-{move.serving_sequence}"
    return _Change(move.time_ms, tone, what, line, move.digest, move.cause, key)


def _order(order: OperatorCommand) -> _Change | None:
    if order.kind not in ORDERS:
        return None
    value = f" {order.value}" if order.value else ""
    why = f": {order.reason}" if order.reason else ""
    line = sentence(f"{order.actor} ordered {order.kind}{value}{why}")
    return _Change(order.time_ms, Tone.OPEN, ORDERS[order.kind], line, None, "", f"order-{order.time_ms}")


def _sentence(text: str) -> str:
    """A full stop and, unless a digest comes first, a capital."""
    return sentence(f"The{text[3:]}" if text.startswith("the ") else text)


def _name(move: Transition) -> str:
    return f"{short(move.digest)} (step {move.step})" if move.step else f"the base {short(move.digest)}"


def _lives(transitions: Iterable[Transition], digests: set[Digest | None]) -> dict[Digest | None, tuple[Step, ...]]:
    """Every step of these checkpoints."""
    lives: dict[Digest | None, list[Step]] = {}
    for move in transitions:
        if move.digest in digests:
            text = f"{move.from_phase or 'new'} → {move.to_phase}"
            lives.setdefault(move.digest, []).append(Step(moment(move.time_ms), text, move.cause))
    return {digest: tuple(steps) for digest, steps in lives.items()}
