"""Under which serving state decisions were made: whether the learnt policy was allowed to serve, and beside whom."""

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final

from ol0.controller.checkpoint import Opener, read_checkpoint
from ol0.controller.exploration import propensity
from ol0.errors import CheckpointError
from ol0.records import Action, Digest, Mode, Outcome, ServingState

REMEMBERED: Final = 64
"""Candidates and shares. An outcome comes a reward window after its decision, in which few are tried."""


@dataclass(frozen=True)
class Exploration:
    """How every checkpoint of a lineage explores: the share of each part's draws, and how many choices it has."""

    base: Digest
    epsilon: float
    choices: list[int]


@dataclass(eq=False)
class Served:
    """Remembers the serving sequences outside of mode apply, the shares of candidates, and how decisions explore.

    Outside of apply the base serves everybody and logs as holdback. To count that as holdback would compare hours, not
    arms: the lift rests on a random arm for each session, and in those hours no arm was drawn.

    Attributes:
        outside: the first sequence outside of apply, and the first that was back; None: it lasts.
        exploration: None before a base is known.
        trials: since which sequence who was staged, and with which share of all sessions.
    """

    outside: list[tuple[int, int | None]] = field(default_factory=list)
    exploration: Exploration | None = None
    trials: list[tuple[int, Digest | None, float]] = field(default_factory=list)

    def take(self, state: ServingState, opener: Opener = read_checkpoint) -> None:
        """Takes a serving state, in the order of sequence; opens its base where that is another one."""
        outside = bool(self.outside) and self.outside[-1][1] is None
        if state.mode is not Mode.APPLY and not outside:
            self.outside.append((state.sequence, None))
        elif state.mode is Mode.APPLY and outside:
            self.outside[-1] = (self.outside[-1][0], state.sequence)
        staged = (None, 0.0) if state.staged is None else (state.staged.release.digest, state.staged.share)
        if not self.trials or (state.sequence > self.trials[-1][0] and staged != self.trials[-1][1:]):
            self.trials = [*self.trials, (state.sequence, *staged)][-REMEMBERED:]
        if self.exploration is None or self.exploration.base != state.base.digest:
            self.exploration = _exploration(state, opener)

    def applied(self, sequence: int) -> bool:
        """Whether a decision under this serving sequence belongs to an arm."""
        return not any(start <= sequence and (stop is None or sequence < stop) for start, stop in self.outside)

    def staged_share(self, outcome: Outcome) -> float | None:
        """The share of all sessions that the candidate had beside this decision; None where it is not known."""
        if outcome.staged is None:
            return 0.0
        place = bisect_right(self.trials, outcome.serving_sequence, key=lambda entry: entry[0])
        _, digest, share = self.trials[place - 1] if place else (0, None, 0.0)
        return share if digest == outcome.staged else None

    def chance(self, action: Action, greedy: Action) -> float:
        """The probability that a controller takes ``action`` where its greedy one is ``greedy``.

        Raises:
            LookupError: it is not known how this lineage explores.
        """
        known = self.exploration
        if known is None or not len(action) == len(greedy) == len(known.choices):
            raise LookupError(f"no base that explores in {len(action)} parts is known")
        return math.prod(propensity(action, greedy, known.choices, known.epsilon))


def _exploration(state: ServingState, opener: Opener) -> Exploration | None:
    """What the base says, for every release has it from there. Hosts refuse a base that cannot be read, too."""
    try:
        base = opener(state.base.heads, state.base.digest)
    except CheckpointError:
        return None
    return Exploration(base=base.digest, epsilon=base.manifest.epsilon, choices=list(base.choices))
