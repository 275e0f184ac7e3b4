"""Orders from the page: rehearsed, then given, by the functions of `ol0 releases`."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from ol0.clock import wall_clock_ms
from ol0.config import Settings
from ol0.errors import ConfigError
from ol0.operator.releases.history import find_digest
from ol0.operator.releases.orders import CurrentState, give, read_current_state, rehearse
from ol0.records import OperatorCommand, OperatorKind

KINDS: Final = (OperatorKind.FREEZE, OperatorKind.THAW, OperatorKind.ROLLBACK, OperatorKind.PIN)
NAMED: Final = (OperatorKind.ROLLBACK, OperatorKind.PIN)
LONGEST: Final = 200
"""Characters of an actor or a reason."""
WITHIN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asks for. ``digest``: its first characters; empty: what is live, for a rollback."""

    kind: OperatorKind
    digest: str
    actor: str
    reason: str

    @classmethod
    def of(cls, fields: dict[str, str]) -> "Wish":
        """A wish as a form holds it.

        Raises:
            ConfigError: the page does not offer this kind, or a text is missing or too long.
        """
        kind, actor, reason = (fields.get(name, "").strip() for name in ("kind", "actor", "reason"))
        if kind not in KINDS:
            raise ConfigError(f"{kind[:40]!r} is no order of this page: {', '.join(KINDS)} are")
        if not actor or max(len(actor), len(reason)) > LONGEST:
            raise ConfigError(f"an order needs a name, and name and reason have at most {LONGEST} characters")
        return cls(OperatorKind(kind), fields.get("digest", "").strip(), actor, reason)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What an order would change, once those that wait are carried out; ``changes`` empty: all is so already."""

    wish: Wish
    digest: str
    waiting: tuple[str, ...]
    changes: tuple[str, ...]

    @property
    def seal(self) -> str:
        """Identifies exactly this rehearsal: another one means that the lineage has moved on."""
        text = "\n".join((self.wish.kind, self.digest, self.wish.actor, self.wish.reason, *self.waiting, *self.changes))
        return sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Done:
    """What serves after an order."""

    digest: str
    step: int
    sequence: int
    is_frozen: bool


def rehearsed(settings: Settings, wish: Wish) -> Rehearsal:
    """What would happen. Changes nothing.

    Raises:
        ConfigError: the order would be refused, and why.
        StreamError: Kafka does not answer.
    """
    return _rehearse(settings, wish)[0]


def given(settings: Settings, wish: Wish, seal: str) -> Rehearsal | Done:
    """Gives an order if it would still do what its rehearsal showed; else shows what it would do now.

    Raises:
        ConfigError: the order is refused, and why.
        StreamError: it was not carried out in time, or Kafka refuses.
    """
    rehearsal, order = _rehearse(settings, wish)
    if rehearsal.seal != seal or not rehearsal.changes:
        return rehearsal
    after = give(settings, order, WITHIN_S)
    live = after.live
    return Done("" if live is None else live.digest, 0 if live is None else live.step, after.sequence, after.frozen)


def _rehearse(settings: Settings, wish: Wish) -> tuple[Rehearsal, OperatorCommand]:
    current = read_current_state(settings)
    digest = _digest(current, wish)
    order = OperatorCommand(wish.kind, digest, wish.actor, wish.reason, wall_clock_ms())
    waiting = tuple(f"{it.kind} by {it.actor} is carried out first" for it in current.waiting)
    changes = tuple(rehearse(current, order, settings))
    return Rehearsal(wish, digest or "", waiting, changes), order


def _digest(current: CurrentState, wish: Wish) -> str | None:
    """By name also where none is given: the same order given twice must not hit the next release."""
    state = current.state
    if wish.kind not in NAMED:
        return None
    if wish.digest:
        return find_digest(state.known(), wish.digest)
    if wish.kind is OperatorKind.PIN:
        raise ConfigError("pin needs a digest: the release that is to serve")
    return None if state.live is None else state.live.digest
