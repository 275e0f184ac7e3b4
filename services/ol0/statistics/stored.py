"""How states are stored: each is a dataclass that pydantic writes and reads as JSON, and these are its odd fields.

Floats survive JSON exactly, so a restored state continues to the bit.
"""

import base64
from collections.abc import Iterable
from dataclasses import astuple
from typing import Annotated, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator
from pydantic_core import ArgsKwargs

FloatArray: TypeAlias = npt.NDArray[np.float64]


def pack_floats(numbers: FloatArray) -> str:
    """An array of float64: little-endian, base64, exact and half the size of decimals. The shape is the reader's."""
    return base64.b64encode(numbers.astype("<f8").tobytes()).decode("ascii")


def unpack_floats(text: str) -> FloatArray:
    """What ``pack_floats`` was given, [n].

    Raises:
        ValueError: the text is not in this form.
    """
    return np.frombuffer(base64.b64decode(text, validate=True), "<f8").astype(np.float64)


def _floats(numbers: Iterable[float]) -> FloatArray:
    return np.array(numbers, np.float64)


def _positional(row: Iterable[object]) -> ArgsKwargs:
    return ArgsKwargs(tuple(row))


def _row(one: object) -> list[object]:
    return list(astuple(one))  # type: ignore[call-overload]


Packed: TypeAlias = Annotated[FloatArray, PlainValidator(unpack_floats), PlainSerializer(pack_floats)]
"""Base64 of a long array; the shape is its owner's."""
Decimals: TypeAlias = Annotated[FloatArray, PlainValidator(_floats), PlainSerializer(np.ndarray.tolist)]
"""The numbers of a short array, [n]."""
FROM_ROW: Final = BeforeValidator(_positional)
AS_ROW: Final = PlainSerializer(_row)
"""Of a dataclass of which there are many: its values in the order of its fields."""
NOT_STORED: Final = Field(exclude=True)
"""A setting of the process, not part of the state: after a restore its owner sets it again."""
