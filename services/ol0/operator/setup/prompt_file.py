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
from ol0.operator.text import plural

REQUIRED: Final = ("X", "P", "old", "group")
SHAPES: Final = {"X": 2, "P": 2, "old": 1, "group": 1}
LARGEST: Final = 1e6
"""Of a feature: beyond it the steps of the training overflow."""
LONGEST_BYTES: Final = 256
"""Of a label: what a record takes."""
SMALLEST_KIND: Final = 200
"""Below it a quarter holds fewer than 50 prompts, and no figure means anything."""
ROUNDING: Final = 1e-5
"""By which a softmax of float32 may miss 0 and 1."""
PROBABILITIES: Final = "expected probabilities within 0..1"
TRUTHS: Final = "expected true and false, or 1 and 0"
NUMBERS, WHOLE, TEXT = "fiub", "iub", "US"
"""Letters of numpy's kinds of types."""

Array = NDArray[np.generic]
Numbers = NDArray[np.float32] | NDArray[np.float64]


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
            _features(arrays["X"]), _success(arrays["P"]), _old(arrays["old"]), _labels(arrays["group"])
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


def _features(array: Array) -> Floats:
    numbers = _numbers("X", array, "real numbers are right")
    if (wrong := ~np.isfinite(numbers)).any():
        raise ValueError(f"X holds {_first(numbers, wrong)}; expected finite numbers")
    if max(numbers.max(), -numbers.min()) > LARGEST:
        found = _first(numbers, np.abs(numbers) > LARGEST)
        raise ValueError(f"X holds {found}; scale the features to at most {LARGEST:,.0f}")
    return numbers.astype(np.float32, copy=False)


def _success(array: Array) -> Floats:
    numbers = _numbers("P", array, PROBABILITIES)
    if numbers.shape[1] < 2:  # noqa: PLR2004 - nobody routes to one
        found = plural(numbers.shape[1], "column")
        raise ValueError(f"P has {found}; with fewer than two experts there is nothing to choose")
    if (wrong := ~((numbers >= -ROUNDING) & (numbers <= 1 + ROUNDING))).any():
        raise ValueError(f"P holds {_first(numbers, wrong)}; {PROBABILITIES}")
    if (numbers == numbers[:, :1]).all():
        raise ValueError("P holds the same for all experts in every row: there is nothing to choose")
    return numbers.clip(0, 1).astype(np.float32)


def _old(array: Array) -> NDArray[np.bool_]:
    numbers = _numbers("old", array, TRUTHS)
    if (wrong := ~np.isin(numbers, (0, 1))).any():
        raise ValueError(f"old holds {_first(numbers, wrong)}; {TRUTHS}")
    return numbers.astype(bool)


def _labels(array: Array) -> NDArray[np.str_]:
    if array.dtype.kind not in WHOLE + TEXT:
        raise ValueError(f"group holds {array.dtype}; expected text or whole numbers")
    try:
        labels = array.astype(np.str_)
    except UnicodeDecodeError:
        raise ValueError("group holds bytes that are not ASCII; expected text (str)") from None
    for row, label in enumerate(labels):
        size = len(label.encode(errors="replace"))
        if size > LONGEST_BYTES:
            raise ValueError(f"group, row {row}, is {size:,} bytes long; {LONGEST_BYTES} are the most")
        if size != len(label.encode(errors="ignore")):
            raise ValueError(f"group, row {row}, holds half a surrogate; expected text that UTF-8 can encode")
    return labels


def _check_kinds(old: NDArray[np.bool_]) -> None:
    known, new = int(old.sum()), int((~old).sum())
    if min(known, new) < SMALLEST_KIND:
        raise ValueError(f"{known:,} old and {new:,} new prompts; {SMALLEST_KIND} of each are the fewest")


def _numbers(name: str, array: Array, right: str) -> Numbers:
    """As float32 where nothing is lost: a file may have a gigabyte of them."""
    if array.dtype.kind not in NUMBERS:
        found = f"text ({array.dtype})" if array.dtype.kind in TEXT else str(array.dtype)
        raise ValueError(f"{name} holds {found}; {right}")
    narrow = array.dtype.kind == "f" and array.dtype.itemsize <= np.dtype(np.float32).itemsize
    return array.astype(np.float32, copy=False) if narrow else array.astype(np.float64, copy=False)


def _first(numbers: Numbers, wrong: NDArray[np.bool_]) -> str:
    """The first number that is wrong, and where."""
    place = tuple(int(index) for index in np.argwhere(wrong)[0])
    return f"{numbers[place]:g} in row {', column '.join(map(str, place))}"
