"""Many equal rows in little space: columns instead of rows, for snapshots that stay plain JSON values."""

import base64
import zlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Value: TypeAlias = bool | int | float | str | None
Row: TypeAlias = Sequence[Value]
Integers: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.uint64]

FASTEST: Final = 1
"""zlib's level: the bulk is digests, which no level shrinks."""


@dataclass(frozen=True)
class Column:
    """One column: its distinct values, and for each row which of them it is."""

    values: list[Value]
    index: str


def pack_columns(rows: Iterable[Row]) -> list[Column]:
    """The columns of rows that are equally long. A column holds values of one kind, beside None: 1 equals True.

    No row is kept: a list for each of 300,000 rows would wake the garbage collector, which takes most of the time then.
    """
    columns: list[tuple[dict[Value, int], array[int]]] = []
    for row in rows:
        columns = columns or [({}, array("q")) for _ in row]
        for (places, index), value in zip(columns, row, strict=True):
            index.append(places.setdefault(value, len(places)))
    return [
        Column(values=list(places), index=pack_integers(np.frombuffer(index, np.int64))) for places, index in columns
    ]


def unpack_columns(columns: Sequence[Column]) -> Iterable[Row]:
    """The rows of ``pack_columns``.

    Raises:
        ValueError: the columns are none, or not equally long.
    """
    return zip(*(_unpack_column(column) for column in columns), strict=True)


def pack_integers(numbers: Integers) -> str:
    """An array of eight-byte integers: little-endian, compressed, base64."""
    little = numbers.astype(numbers.dtype.newbyteorder("<"))
    return base64.b64encode(zlib.compress(little.tobytes(), FASTEST)).decode("ascii")


def unpack_integers(text: str, dtype: str) -> list[int]:
    """What ``pack_integers`` was given; ``dtype`` says whether they are signed, ``<i8`` or ``<u8``.

    Raises:
        ValueError: the text is not in this form.
    """
    try:
        data = zlib.decompress(base64.b64decode(text, validate=True))
    except zlib.error as error:
        raise ValueError(f"not a packed array: {error}") from None
    numbers: list[int] = np.frombuffer(data, dtype).tolist()
    return numbers


def _unpack_column(column: Column) -> list[Value]:
    values, index = column.values, unpack_integers(column.index, "<i8")
    if index and not 0 <= min(index) <= max(index) < len(values):
        raise ValueError(f"a column points beyond its {len(values)} values")
    return [values[place] for place in index]
