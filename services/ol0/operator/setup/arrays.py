"""Checks of the arrays that people bring: each is what it says, or an error names the first number that is not."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ol0.controller.heads import Floats
from ol0.operator.text import plural

LARGEST: Final = 1e6
"""Of a feature: beyond it the steps of the training overflow."""
LONGEST_BYTES: Final = 256
"""Of a label: what a record takes."""
ROUNDING: Final = 1e-5
"""By which a softmax of float32 may miss 0 and 1."""
PROBABILITIES: Final = "expected probabilities within 0..1"
NUMBERS, WHOLE, TEXT = "fiub", "iub", "US"
"""Letters of numpy's kinds of types."""

Array = NDArray[np.generic]
Numbers = NDArray[np.float32] | NDArray[np.float64]


def checked_features(array: Array) -> Floats:
    """Finite float32 of a size that training can take, shape (n, D). Raises ValueError."""
    numbers = numbers_of("X", array, "real numbers are right")
    if (wrong := ~np.isfinite(numbers)).any():
        raise ValueError(f"X holds {first_of(numbers, wrong)}; expected finite numbers")
    if max(numbers.max(), -numbers.min()) > LARGEST:
        found = first_of(numbers, np.abs(numbers) > LARGEST)
        raise ValueError(f"X holds {found}; scale the features to at most {LARGEST:,.0f}")
    return numbers.astype(np.float32, copy=False)


def checked_values(array: Array) -> Floats:
    """What every choice is worth, within 0..1, shape (n, K). Raises ValueError."""
    numbers = numbers_of("P", array, PROBABILITIES)
    if numbers.shape[1] < 2:  # noqa: PLR2004 - a router needs two choices
        found = plural(numbers.shape[1], "column")
        raise ValueError(f"P has {found}; with fewer than two experts there is nothing to choose")
    if (wrong := ~((numbers >= -ROUNDING) & (numbers <= 1 + ROUNDING))).any():
        raise ValueError(f"P holds {first_of(numbers, wrong)}; {PROBABILITIES}")
    if (numbers == numbers[:, :1]).all():
        raise ValueError("P holds the same for all experts in every row: there is nothing to choose")
    return numbers.clip(0, 1).astype(np.float32)


def checked_kinds(array: Array) -> NDArray[np.str_]:
    """Labels for reports, short enough for a record, shape (n,). Raises ValueError."""
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


def numbers_of(name: str, array: Array, right: str) -> Numbers:
    """As float32 where nothing is lost: a file may have a gigabyte of them."""
    if array.dtype.kind not in NUMBERS:
        found = f"text ({array.dtype})" if array.dtype.kind in TEXT else str(array.dtype)
        raise ValueError(f"{name} holds {found}; {right}")
    narrow = array.dtype.kind == "f" and array.dtype.itemsize <= np.dtype(np.float32).itemsize
    return array.astype(np.float32, copy=False) if narrow else array.astype(np.float64, copy=False)


def first_of(numbers: Numbers, wrong: NDArray[np.bool_]) -> str:
    """The first number that is wrong, and where."""
    place = tuple(int(index) for index in np.argwhere(wrong)[0])
    return f"{numbers[place]:g} in row {', column '.join(map(str, place))}"
