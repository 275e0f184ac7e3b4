"""Labelled prompts to make a base from: one table, as people keep it, in .npz, .csv or .parquet.

================  =======================  ==============================  =====================================
what              array of an .npz         column(s) of a table            meaning
================  =======================  ==============================  =====================================
features          ``X`` (n, D)             ``embedding``, a list of        what the router sees of a prompt
                                           numbers; or ``x0``, ``x1``, ...
labels            ``y`` (n,) or            ``label`` or                    the right choice, as text or number; or
                  ``P`` (n, K)             ``p_NAME``, one per choice      what each choice is worth, within 0..1
kinds, optional   ``kind`` (n,)            ``kind``                        label of the prompt's kind, for reports
================  =======================  ==============================  =====================================
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ol0.controller.npz import read_npz
from ol0.errors import ConfigError
from ol0.operator.setup.arrays import NUMBERS, Array, checked_features, checked_kinds, checked_values
from ol0.operator.setup.prompts import Prompts

FEWEST: Final = 200
"""Rows: a quarter is kept back, and of fewer than 50 prompts no figure means anything."""
MOST_CHOICES: Final = 1_000
WANTED: Final = (
    "an .npz holds X (n, D) and y (n,) or P (n, K); a .csv or .parquet has the columns embedding (or x0, x1, ...) and "
    "label (or p_NAME for every choice)"
)


@dataclass(frozen=True, slots=True)
class Labelled:
    """Prompts whose good choices are known.

    Attributes:
        prompts: features, what every choice is worth, and kinds, empty where there are none.
        names: of the choices, in the order of the columns.
    """

    prompts: Prompts
    names: tuple[str, ...]

    @classmethod
    def of(cls, features: Array, labels: Array, kinds: Array | None = None, names: tuple[str, ...] = ()) -> "Labelled":
        """Checks arrays and makes one value of each choice out of labels.

        Args:
            features: shape (n, D).
            labels: the right choice, shape (n,), or what every choice is worth, shape (n, K).
            kinds: shape (n,).
            names: of the choices, where labels are values.

        Raises:
            ConfigError: an array does not fit, or a number is out of range.
        """
        try:
            _check_shapes(features, labels, kinds)
            values, found = _values(labels)
            groups = np.full(len(features), "", np.str_) if kinds is None else checked_kinds(kinds)
            return cls(Prompts(checked_features(features), values, groups), names or found)
        except ValueError as error:
            raise ConfigError(str(error)) from None


def _check_shapes(features: Array, labels: Array, kinds: Array | None) -> None:
    count = len(features) if features.ndim else 0
    if features.ndim != 2 or not features.size:  # noqa: PLR2004 - a matrix
        raise ValueError(f"X has shape {features.shape}; expected (n, D), a row for each prompt")
    if labels.ndim not in (1, 2) or len(labels) != count:
        raise ValueError(
            f"labels have shape {labels.shape}; expected ({count},) or ({count}, K), as X has {count} rows"
        )
    if count < FEWEST:
        raise ValueError(f"{count} rows; {FEWEST} are the fewest")
    if kinds is not None and kinds.shape != (count,):
        raise ValueError(f"kinds have shape {kinds.shape}; expected ({count},)")


def _values(labels: Array) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """One of shape (n, K), and what the choices are called."""
    if labels.ndim == 2:  # noqa: PLR2004 - values of every choice
        values = checked_values(labels)
        return values, tuple(str(number) for number in range(values.shape[1]))
    if labels.dtype.kind == "f" and (labels % 1 == 0).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "f":
        raise ValueError("labels are fractions; expected the right choice of each row: text, or a number from 0")
    if labels.dtype.kind == "O":
        raise ValueError("labels are Python objects; save them as text: labels.astype(str)")
    found, choices = np.unique(labels, return_inverse=True)
    if labels.dtype.kind in NUMBERS:
        if found.min() < 0:
            raise ValueError(f"a label is {found.min()}; expected the number of a choice, from 0")
        if int(found.max()) >= MOST_CHOICES:
            raise ValueError(f"a label is {found.max()}; choices are numbered from 0, {MOST_CHOICES:,} at most")
        found, choices = np.arange(int(found.max()) + 1), labels.astype(np.intp)
    if not 1 < len(found) <= MOST_CHOICES:
        raise ValueError(f"{len(found):,} different labels; 2 to {MOST_CHOICES:,} choices are right")
    return np.eye(len(found), dtype=np.float32)[choices], tuple(str(name) for name in found)


def read_labelled(path: Path) -> Labelled:
    """Opens a file; its ending says what it is.

    Raises:
        ConfigError: no such file, another ending, or something in it is not what it should be; names it.
    """
    readers = {".npz": _from_npz, ".csv": _from_csv, ".parquet": _from_parquet}
    if path.suffix not in readers:
        raise ConfigError(f"{path}: labelled prompts come as .npz, .csv or .parquet; {WANTED}")
    try:
        return readers[path.suffix](path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except ConfigError as error:
        raise ConfigError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None


def _from_npz(path: Path) -> Labelled:
    arrays = read_npz(path, ("X",))
    if ("y" in arrays) == ("P" in arrays):
        raise ConfigError(f"it holds {', '.join(arrays)}; expected X and either y or P")
    labels = arrays["y"] if "y" in arrays else arrays["P"]
    return Labelled.of(arrays["X"], labels, arrays.get("kind", arrays.get("group")))


def _from_csv(path: Path) -> Labelled:
    csv.field_size_limit(2**24)
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            lines = list(csv.reader(file))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot be read as CSV in UTF-8: {error}") from None
    if not lines:
        raise ConfigError(f"empty; {WANTED}")
    header, *rows = lines
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ConfigError(f"line {number} has {len(row)} fields, the header {len(header)}")
    return _from_columns({name: list(cells) for name, cells in zip(header, zip(*rows, strict=True), strict=False)})


def _from_parquet(path: Path) -> Labelled:
    try:
        from pyarrow import ArrowInvalid, parquet  # noqa: PLC0415 - only those who bring such a file need it
    except ModuleNotFoundError:
        raise ConfigError("pyarrow is not installed: pip install 'ol0[parquet]'") from None
    try:
        table = parquet.read_table(path)
    except ArrowInvalid as error:
        raise ConfigError(f"no Parquet file: {error}") from None
    return _from_columns({name: table.column(name).to_pylist() for name in table.column_names})


def _from_columns(columns: Mapping[str, list[Any]]) -> Labelled:
    names = tuple(name.removeprefix("p_") for name in columns if name.startswith("p_"))
    if ("label" in columns) == bool(names):
        raise ConfigError(f"its columns are {', '.join(columns)!s:.200}; {WANTED}")
    if names:
        labels: Array = np.stack([_numbers(name, columns[name]) for name in (f"p_{it}" for it in names)], axis=1)
    else:
        labels = _labels(columns["label"])
    kinds = np.array([str(kind) for kind in columns["kind"]]) if "kind" in columns else None
    return Labelled.of(_features(columns), labels, kinds, names)


def _features(columns: Mapping[str, list[Any]]) -> Array:
    if "embedding" in columns:
        return _embeddings(columns["embedding"])
    count = sum(f"x{number}" in columns for number in range(len(columns)))
    if not count:
        raise ConfigError(f"its columns are {', '.join(columns)!s:.200}; {WANTED}")
    if missing := [name for number in range(count) if (name := f"x{number}") not in columns]:
        raise ConfigError(f"the column {missing[0]} is missing among {count} columns of features")
    return np.stack([_numbers(f"x{number}", columns[f"x{number}"]) for number in range(count)], axis=1)


def _embeddings(cells: list[Any]) -> Array:
    vectors: list[NDArray[np.float32]] = []
    for number, cell in enumerate(cells):
        try:
            vector = np.asarray(json.loads(cell) if isinstance(cell, str) else cell, np.float32)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"embedding in row {number} is no list of numbers: {error!s:.100}") from None
        if vector.ndim != 1 or (vectors and len(vector) != len(vectors[0])):
            raise ConfigError(f"embedding in row {number} has shape {vector.shape}; the first has {vectors[0].shape}")
        vectors.append(vector)
    return np.stack(vectors) if vectors else np.zeros((0, 0), np.float32)


def _numbers(name: str, cells: list[Any]) -> NDArray[np.float64]:
    try:
        return np.array(cells, np.float64)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"column {name} holds what is no number: {error!s:.100}") from None


def _labels(cells: list[Any]) -> Array:
    """Numbers where all cells are: a CSV has nothing but text."""
    texts = [str(cell) for cell in cells]
    return np.array([int(text) for text in texts]) if all(text.isdecimal() for text in texts) else np.array(texts)
