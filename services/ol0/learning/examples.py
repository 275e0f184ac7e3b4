"""Examples as a host hands them in, one by one, and the batch that they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from ol0.controller.controller import Controller
from ol0.controller.heads import Floats
from ol0.errors import RangeError
from ol0.learning.batch import Batch, unit_of
from ol0.records import Action, Decision


@dataclass(frozen=True, slots=True)
class Example:
    """A decision and what it came to.

    Attributes:
        features: what the controller looked at, shape (D,).
        action: the choice of every part that was served.
        propensity: probability of each of them when it was served, within (0, 1]: from the ``Choice``.
        reward: within 0..1; a decision without feedback is no example.
        session_id: of the prompt.
        user: who gave the reward; None if unknown: then the session is capped.
    """

    features: ArrayLike
    action: Action
    propensity: tuple[float, ...]
    reward: float
    session_id: str
    user: str | None = None

    @classmethod
    def of(cls, decision: Decision, reward: float) -> Self:
        """A logged decision."""
        features, action, propensity = decision.feature_vector(), decision.action, decision.propensity
        return cls(features, action, propensity, reward, decision.session_id, decision.user)


def batch_of(examples: Sequence[Example], base: Controller) -> Batch:
    """All of them, in their order, of weight 1.

    Args:
        examples: may be none.
        base: whose features and choices they must fit.

    Raises:
        RangeError: an example does not fit, or a number is out of range; names the first one. Nothing was changed.
    """
    rows = [_features(example, number, base) for number, example in enumerate(examples)]
    parts = len(base.choices)
    return Batch(
        base.inputs(np.array(rows, np.float32).reshape(len(rows), base.dimension)),
        np.array([example.action for example in examples], np.intp).reshape(len(rows), parts),
        np.array([example.propensity for example in examples], np.float32).reshape(len(rows), parts),
        np.array([example.reward for example in examples], np.float32),
        np.ones(len(rows), np.float32),
        np.array([unit_of(example.user, example.session_id) for example in examples], np.uint64),
    )


def _features(example: Example, number: int, base: Controller) -> Floats:
    """The features of an example that was looked at."""
    features = np.asarray(example.features, np.float32)
    if flaw := _flaw(example, features, base):
        raise RangeError(f"example {number} (session {example.session_id}): {flaw}")
    return features


def _flaw(example: Example, features: Floats, base: Controller) -> str | None:
    if features.shape != (base.dimension,):
        return (
            f"features of shape {features.shape}; the base takes ({base.dimension},): "
            "encode states with the encoder that the warm-up brought in"
        )
    if not np.isfinite(features).all():
        return "features hold a number that is not finite"
    action, choices = example.action, base.choices
    if len(action) != len(choices) or not all(0 <= one < most for one, most in zip(action, choices, strict=True)):
        return f"action {action}; one index for each of the parts {base.manifest.parts} below {choices} is right"
    propensity = example.propensity
    if len(propensity) != len(choices) or not all(0 < one <= 1 for one in propensity):
        return f"propensity {propensity}; one number above 0 and at most 1 for each part is right"
    if not 0 <= example.reward <= 1:
        return f"reward {example.reward}; expected 0 to 1"
    return None
