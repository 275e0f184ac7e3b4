"""One controller compiled for one prompt at a time: the greedy action in a few microseconds."""

from math import exp, isfinite

import numpy as np

from ol0.controller.controller import Controller
from ol0.controller.heads import Floats
from ol0.errors import RangeError
from ol0.records import Action, Digest, brief

LARGEST_ODDS = 30.0
"""Where ``controller.heads.sigmoid`` clips as well."""


class GreedyPolicy:
    """Takes the action that ``Controller.greedy`` takes, for single prompts and without its array calls.

    Where base and learnt head favour the same choice, every mixture of them does, so neither softmax nor gate is
    computed; that is most prompts. Elsewhere pi / (1 - g) = softmax(W0 h) + odds softmax(W h) is compared, with
    odds = g / (1 - g) = exp(w h - t). Immutable after construction; may be used from several threads.
    """

    __slots__ = (
        "_bias",
        "_bounds",
        "_controller",
        "_trunk",
        "_weight",
        "choices",
        "digest",
        "dimension",
        "epsilon",
        "looks_back",
    )

    def __init__(self, controller: Controller) -> None:
        self.digest: Digest = controller.digest
        self.choices: tuple[int, ...] = controller.choices
        self.dimension: int = controller.dimension
        self.epsilon: float = controller.manifest.epsilon
        self.looks_back: bool = controller.manifest.hysteresis is not None
        self._controller = controller
        self._trunk = controller.trunk
        rows, biases, bounds = [], [], []
        start = 0
        for base, learnt in zip(controller.base, controller.learnt, strict=True):
            rows += [base.weight, learnt.weight]
            biases += [base.bias, learnt.bias]
            bounds.append((start, start + base.choices, start + 2 * base.choices))
            start += 2 * base.choices
        self._bounds = tuple(bounds)
        # Row by row, unlike the controller's: BLAS is faster so for a single vector.
        self._weight = np.ascontiguousarray(np.concatenate([*rows, controller.mixer.weight[None, :]]), np.float32)
        self._bias = np.concatenate([*biases, np.array([-controller.mixer.threshold])]).astype(np.float32)

    def greedy(self, features: Floats, previous: Action | None = None) -> Action:
        """The greedy action.

        Args:
            features: float32, shape (D,).
            previous: the action before this one, which hysteresis may keep where the manifest has it.

        Raises:
            RangeError: another shape, a number that is not finite, or an invalid previous action.
        """
        best = self._best(features)
        if previous is None:
            return best
        self._require_action(previous)
        if not self.looks_back or best == previous:
            return best
        # Rare enough, and costly enough to get wrong, for there to be one definition of it.
        return tuple(self._controller.greedy(features, np.array(previous, np.intp)).tolist())

    def _require_action(self, previous: Action) -> None:
        if len(previous) != len(self.choices) or not all(
            isinstance(pick, int) and 0 <= pick < count for pick, count in zip(previous, self.choices, strict=True)
        ):
            raise RangeError(f"previous action {previous!r:.200} is not one index below each of {self.choices}")

    def _best(self, features: Floats) -> Action:
        try:
            inputs = features if self._trunk is None else self._trunk(features)
            scores: list[float] = (np.dot(self._weight, inputs) + self._bias).tolist()
            gate = scores[-1]
            # A feature that is not finite makes every score so, a weight of 0 included: one look tells.
            if not isfinite(gate):
                raise RangeError("features: a number is not finite or far too large")
        except (ValueError, TypeError):
            shape = np.shape(features)
            raise RangeError(
                f"features have shape {shape}; ({self.dimension},) is right for {brief(self.digest)}"
            ) from None
        action = []
        for start, middle, stop in self._bounds:
            base, learnt = scores[start:middle], scores[middle:stop]
            best = base.index(max(base))
            action.append(best if learnt[best] == max(learnt) else _best_of_mixture(base, learnt, gate))
        return tuple(action)


def _best_of_mixture(base: list[float], learnt: list[float], gate: float) -> int:
    """The argmax of softmax(base) + odds softmax(learnt). K is some ten: lists are faster than arrays here."""
    base_top, learnt_top = max(base), max(learnt)
    base_exp = [exp(score - base_top) for score in base]
    learnt_exp = [exp(score - learnt_top) for score in learnt]
    odds = exp(min(max(gate, -LARGEST_ODDS), LARGEST_ODDS))
    factor = odds * sum(base_exp) / sum(learnt_exp)
    mixture = [one + factor * other for one, other in zip(base_exp, learnt_exp, strict=True)]
    return mixture.index(max(mixture))
