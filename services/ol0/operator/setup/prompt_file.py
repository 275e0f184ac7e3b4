"""A file of labelled prompts, as people bring it with ``--data``: four arrays, each of which has to be what it says.

========= ======= =============================================================================
``X``     (n, D)  features, numbers
``P``     (n, K)  probability that expert k answers well, within 0..1, K of 2 and more
``old``   (n,)    whether the base was trained on prompts of this kind: booleans, or 0 and 1
``group`` (n,)    labels for reports: text or whole numbers
========= ======= =============================================================================
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ol0.controller.checkpoint import check_checkpoint_size
from ol0.controller.heads import Floats
from ol0.controller.npz import read_npz
from ol0.errors import ConfigError
from ol0.operator.setup.arrays import Array, checked_features, checked_kinds, checked_values, first_of, numbers_of

REQUIRED: Final = ("X", "P", "old", "group")
SHAPES: Final = {"X": 2, "P": 2, "old": 1, "group": 1}
SMALLEST_KIND: Final = 200
"""Below it a quarter holds fewer than 50 prompts, and no figure means anything."""
TRUTHS: Final = "expected true and false, or 1 and 0"


@dataclass(frozen=True, slots=True)
class PromptArrays:
    """What the file holds: float32 (n, D), float32 (n, K), bool (n,), text (n,)."""

    features: Floats
    success: Floats
    old: NDArray[np.bool_]
    groups: NDArray[np.str_]


def read_prompt_file(path: Path) -> PromptArrays:
    """Opens the file and holds every array against what it should be.

    Raises:
        ConfigError: names the file, the array, what was found and what is right.
    """
    arrays = read_npz(path, REQUIRED)
    try:
        _check_shapes(arrays)
        prompts = PromptArrays(
            checked_features(arrays["X"]),
            checked_values(arrays["P"]),
            _old(arrays["old"]),
            checked_kinds(arrays["group"]),
        )
        _check_kinds(prompts.old)
        check_checkpoint_size(prompts.features.shape[1], prompts.success.shape[1:])
    except (ValueError, ConfigError) as error:
        raise ConfigError(f"{path}: {error}") from None
    return prompts


def _check_shapes(arrays: dict[str, Array]) -> None:
    if arrays["X"].ndim != SHAPES["X"] or not arrays["X"].size:
        raise ValueError(
            f"X has shape {arrays['X'].shape}; expected (n, D): a row for each prompt, a column for each feature"
        )
    count = len(arrays["X"])
    for name, dimensions in SHAPES.items():
        found = arrays[name].shape
        if name == "P" and len(found) == 1:
            raise ValueError(
                f"P has shape {found}; ({count}, K) is right: the probability of each expert, not the number of one. "
                "Of labels, numpy.eye(K)[P] makes them"
            )
        if len(found) != dimensions or found[0] != count:
            wanted = f"({count}, K)" if dimensions > 1 else f"({count},)"
            raise ValueError(f"{name} has shape {found}; {wanted} is right, a row for each row of X")


def _old(array: Array) -> NDArray[np.bool_]:
    numbers = numbers_of("old", array, TRUTHS)
    if (wrong := ~np.isin(numbers, (0, 1))).any():
        raise ValueError(f"old holds {first_of(numbers, wrong)}; {TRUTHS}")
    return numbers.astype(bool)


def _check_kinds(old: NDArray[np.bool_]) -> None:
    known, new = int(old.sum()), int((~old).sum())
    if min(known, new) < SMALLEST_KIND:
        raise ValueError(f"{known:,} old and {new:,} new prompts; {SMALLEST_KIND} of each are the fewest")
