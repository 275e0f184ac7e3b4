"""One prompt: pinned to one view, however many decisions it makes."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from ol0.controller.exploration import propensity
from ol0.controller.heads import Floats
from ol0.controller.numbering import Numbering, new_prefix, numbered_id
from ol0.errors import RangeError
from ol0.records import Action, Arm, Decision, DecisionId, Digest, FeaturesDtype, Mode
from ol0.sdk.policy import GreedyPolicy
from ol0.sdk.view import View


class Choice(NamedTuple):
    """What was decided.

    A named tuple: as immutable as a frozen dataclass, and .4 us cheaper, a tenth of a decision.

    Attributes:
        decision_id: what feedback refers to.
        action: one index per part; a router with a single choice to make has one part.
        propensity: the probability with which each part was drawn, within (0, 1].
        arm: who served.
        digest: the controller that decided.
    """

    decision_id: DecisionId
    action: Action
    propensity: tuple[float, ...]
    arm: Arm
    digest: Digest


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Who asks, as logged.

    Attributes:
        session_id: the session.
        user: pseudonym, where a user is known.
        group: label for reports.
        turn: number of the prompt's first decision within the session.
    """

    session_id: str
    user: str | None
    group: str | None
    turn: int


@dataclass(frozen=True, slots=True)
class Tools:
    """What every prompt of a router works with.

    Attributes:
        rng: explores.
        clock: event time in ms.
        features_dtype: of the logged features.
        numbering: of the decisions that are logged.
        log: takes a decision and never blocks; None where nothing is logged.
    """

    rng: Random
    clock: Callable[[], int]
    features_dtype: FeaturesDtype
    numbering: Numbering
    log: Callable[[Decision], None] | None


class Prompt:
    """Makes the decisions of one prompt. ``Router.prompt`` makes one; for one thread at a time."""

    __slots__ = (
        "_arm",
        "_calm",
        "_epsilon",
        "_exploring",
        "_log",
        "_numbers",
        "_policy",
        "_prefix",
        "_tools",
        "_turn",
        "_who",
        "view",
    )

    def __init__(self, view: View, assigned: tuple[Arm, GreedyPolicy], who: Circumstances, tools: Tools) -> None:
        self.view = view
        self._arm, self._policy = assigned
        self._who, self._tools = who, tools
        # Exploring without a log would cost users something and teach nothing.
        self._epsilon, self._log = (0.0, None) if view.mode is Mode.OFF else (view.base.epsilon, tools.log)
        # The propensity of an action that is greedy in every part: the usual case, computed once.
        zeros = (0,) * len(self._policy.choices)
        self._calm = propensity(zeros, zeros, self._policy.choices, self._epsilon)
        self._exploring = 1 - (1 - self._epsilon) ** len(zeros)
        self._turn = 0
        # A number that is missing is a loss, so only what is logged takes one.
        router = None if self._log is None else tools.numbering.router
        self._prefix = new_prefix(router)
        self._numbers = itertools.count() if router is None else tools.numbering.of(self._arm)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Holds nothing that would have to be given back."""

    def decide(self, features: ArrayLike, previous: Action | None = None) -> Choice:
        """Chooses an action and logs the decision.

        Args:
            features: shape (D,); decided on as float32.
            previous: the session's action before this one, as its ``Choice`` had it. Where the lineage has hysteresis,
                as one from AR1 has, it is kept unless another is better by enough; elsewhere it changes nothing.

        Raises:
            RangeError: another shape, a number that is not finite, or an invalid previous action.
        """
        tools, policy = self._tools, self._policy
        try:
            vector = np.asarray(features, np.float32)
        except (TypeError, ValueError) as error:
            raise RangeError(f"features are not a vector of numbers: {error}") from None
        if tools.features_dtype is FeaturesDtype.FLOAT16:
            # As they will be logged: a decision on features that are rounded afterwards could not be repeated.
            vector = vector.astype(np.float16).astype(np.float32)
        greedy, probabilities = policy.greedy(vector, previous), self._calm
        action = greedy
        if tools.rng.random() < self._exploring:
            action = self._explore(greedy)
            probabilities = propensity(action, greedy, policy.choices, self._epsilon)
        turn = self._turn
        self._turn = turn + 1
        decision_id = numbered_id(self._prefix, next(self._numbers))
        choice = Choice(decision_id, action, probabilities, self._arm, policy.digest)
        if self._log is not None:
            known = previous is None or not policy.looks_back
            self._log(self._decision(choice, vector, greedy if known else None, turn))
        return choice

    def _explore(self, greedy: Action) -> Action:
        """A uniform draw for each part that explores, given that at least one does.

        One random number already decided whether any part explores; for most decisions none does.
        Here the parts draw in turn: as long as none has, each with its chance given that one of those left must.
        """
        rng, left, drawn = self._tools.rng, len(greedy), False
        action = []
        for best, count in zip(greedy, self._policy.choices, strict=True):
            chance = self._epsilon if drawn else self._epsilon / (1 - (1 - self._epsilon) ** left)
            explores = rng.random() < chance
            action.append(rng.randrange(count) if explores else best)
            drawn, left = drawn or explores, left - 1
        return tuple(action)

    def _decision(self, choice: Choice, vector: Floats, greedy: Action | None, turn: int) -> Decision:
        """The record; it contains what each controller would do with the prompt.

        Not after an action that hysteresis may keep (``greedy`` is None then). Gates and evaluator pass over prompts on
        which two controllers agree, which is fair as long as that depends on the prompt alone; the action before came
        from the session's own arm, so there they may agree on what only one of them has led to. What is not known
        counts as a difference: valid, if wider.
        """
        view, who, dtype = self.view, self._who, self._tools.features_dtype
        greedy_base = greedy_live = greedy_staged = None
        if greedy is not None:
            known = {self._policy.digest: greedy}
            greedy_base, greedy_live, greedy_staged = (
                None if one is None else known.get(one.digest) or known.setdefault(one.digest, one.greedy(vector))
                for one in (view.base, view.live, view.staged)
            )
        return Decision(
            decision_id=choice.decision_id,
            session_id=who.session_id,
            turn=who.turn + turn,
            user=who.user,
            time_ms=self._tools.clock(),
            digest=choice.digest,
            arm=choice.arm,
            staged=None if view.staged is None else view.staged.digest,
            serving_sequence=view.sequence,
            features=vector.astype("<f4" if dtype is FeaturesDtype.FLOAT32 else "<f2").tobytes(),
            features_dtype=dtype,
            action=choice.action,
            propensity=choice.propensity,
            greedy_base=greedy_base,
            greedy_live=greedy_live,
            greedy_staged=greedy_staged,
            group=who.group,
        )
