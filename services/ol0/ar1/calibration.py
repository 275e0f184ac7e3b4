"""The calibration file: logged decisions of a host's AR1 policy, with their rewards.

An ``.npz`` (without pickled objects) of n rows, under AR1's names; arrays in ``[ ]`` are optional:

====================== ============ ==================================================================================
array                  shape        meaning
====================== ============ ==================================================================================
chunk_summary          (n, 512)     content
retrieval_features     (n, 64)
value_features         (n, 32)
[vision_features]      (n, 768)     zeros where missing
[prev_action]          (n, 5)       raw numbers: expert, scope 0/1, span from 1, rank 8/16/32/64, bias scale; rows of
                                    NaN for first decisions
[chunk_index]          (n,)         accepted and ignored (ADR 7)
action                 (n, 4 or 5)  what was served, in the same raw numbers
reward                 (n,)         within 0..1
[propensity]           (n, 4)       probability of each part when it was served, within (0, 1]; 1 where missing, for
                                    AR1 serves by argmax
[group]                (n,)         labels for reports
====================== ============ ==================================================================================

The widths are the checkpoint's own; these are its defaults.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from ol0.ar1.architecture import PARTS, Architecture
from ol0.ar1.encoder import AR1Encoder
from ol0.ar1.policy import from_raw
from ol0.ar1.states import States
from ol0.controller.controller import Actions
from ol0.controller.heads import Floats
from ol0.controller.npz import Arrays, read_npz
from ol0.errors import ConfigError, RangeError

REQUIRED: Final = ("chunk_summary", "retrieval_features", "value_features", "action", "reward")
OPTIONAL: Final = ("vision_features", "prev_action", "chunk_index", "propensity", "group")


@dataclass(frozen=True, slots=True)
class Calibration:
    """n decisions with their rewards.

    Attributes:
        features: the encoded states, shape (n, hidden_dim).
        actions: index of every part, shape (n, 4).
        propensities: of every part, shape (n, 4).
        rewards: shape (n,).
        groups: labels, shape (n,); None where the file has none.
    """

    features: Floats
    actions: Actions
    propensities: Floats
    rewards: Floats
    groups: NDArray[np.str_] | None

    def __len__(self) -> int:
        return len(self.rewards)

    def rows(self, index: NDArray[np.intp]) -> Self:
        """Returns these rows, in this order."""
        groups = None if self.groups is None else self.groups[index]
        return type(self)(
            self.features[index], self.actions[index], self.propensities[index], self.rewards[index], groups
        )


def read_calibration(path: Path, encoder: AR1Encoder, architecture: Architecture) -> Calibration:
    """Reads a calibration file and encodes its states.

    Raises:
        ConfigError: the file is missing or no .npz, or an array is missing, unknown, of a wrong shape or out of range.
    """
    arrays = read_npz(path, REQUIRED)
    if unknown := sorted(arrays.keys() - {*REQUIRED, *OPTIONAL}):
        known = ", ".join((*REQUIRED, *OPTIONAL))
        raise ConfigError(f"{path}: arrays {', '.join(unknown)} are unknown; those that may be there are {known}")
    try:
        return _calibration(arrays, encoder, architecture)
    except (ValueError, TypeError, RangeError) as error:
        raise ConfigError(f"{path}: {error}") from None


def _calibration(arrays: Arrays, encoder: AR1Encoder, architecture: Architecture) -> Calibration:
    numbers = {name: np.asarray(array, np.float32) for name, array in arrays.items() if name != "group"}
    action, reward = numbers["action"], numbers["reward"]
    count = len(reward)
    if action.ndim != 2 or len(action) != count or action.shape[1] not in (len(PARTS), len(PARTS) + 1):  # noqa: PLR2004 - a matrix
        raise ValueError(f"action has shape {action.shape}; ({count}, 4) or ({count}, 5) is right")
    propensity = numbers.get("propensity", np.ones((count, len(PARTS)), np.float32))
    groups = arrays.get("group")
    if reward.ndim != 1 or propensity.shape != (count, len(PARTS)) or (groups is not None and groups.shape != (count,)):
        raise ValueError("reward (n,), propensity (n, 4) and group (n,) do not fit each other")
    if not ((reward >= 0) & (reward <= 1)).all() or not ((propensity > 0) & (propensity <= 1)).all():
        raise ValueError("reward must be within 0..1 and propensity above 0 and at most 1")
    states = States(
        numbers["chunk_summary"],
        numbers["retrieval_features"],
        numbers["value_features"],
        numbers.get("vision_features"),
        numbers.get("prev_action"),
    )
    if len(states) != count:
        raise ValueError(f"chunk_summary has {len(states)} rows, reward {count}")
    labels = None if groups is None else np.asarray(groups, np.str_)
    return Calibration(encoder.encode(states), from_raw(action, architecture), propensity, reward, labels)
