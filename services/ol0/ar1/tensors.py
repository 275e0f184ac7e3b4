"""What a pickle of tensors and plain values may hold: tensors whose numbers are still in the archive, and words."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Final, NamedTuple, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from ol0.ar1.archive import Archive
from ol0.errors import CheckpointError

MAX_AXES: Final = 8
# numpy knows no bfloat16: its sixteen bits are the upper half of a float32.
STORAGES: Final = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "DoubleStorage": "float64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
SIGNED: Final = frozenset({"float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8"})


class Word(NamedTuple):
    """A name that the pickle mentions, such as a dtype: never looked up."""

    module: str
    name: str


class Storage(NamedTuple):
    """Numbers in the archive: ``numel`` of them, of this dtype."""

    key: str
    dtype: str
    numel: int


@dataclass(frozen=True, slots=True)
class PickledTensor:
    """A tensor whose numbers were not read yet. It lies within its storage.

    Attributes:
        storage: where its numbers are.
        offset: of its first number.
        shape: of the tensor.
        strides: in numbers, one per axis.
        negated: torch's negative bit: the tensor holds what its storage does with the other sign.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    negated: bool = False

    @property
    def dtype(self) -> str:
        """Name of the numbers' type."""
        return self.storage.dtype

    def read(self, archive: Archive) -> NDArray[np.generic]:
        """Returns the numbers in the machine's byte order; bfloat16 as float32, which holds it exactly.

        Raises:
            CheckpointError: the bytes are damaged.
        """
        kind = np.dtype("uint16" if self.dtype == "bfloat16" else self.dtype).newbyteorder(archive.byteorder)
        numbers = np.frombuffer(archive.storage(self.storage.key), kind)[self.offset :]
        strides = tuple(stride * kind.itemsize for stride in self.strides)
        array = np.lib.stride_tricks.as_strided(numbers, self.shape, strides, writeable=False)
        if self.dtype == "bfloat16":
            numbers = (array.astype(np.uint32) << 16).view(np.float32)
        else:
            numbers = np.array(array, kind.newbyteorder("="), order="C")
        return np.negative(numbers) if self.negated else numbers


Value: TypeAlias = Union[
    bool,
    int,
    float,
    str,
    "tuple[Value, ...]",
    "list[Value]",
    "dict[str | int, Value]",
    "PickledTensor",
    "Storage",
    "Word",
    "Function",
    None,
]
Function: TypeAlias = Callable[["Value"], "Value"]


def within(storage: Storage, offset: int, shape: list[int], strides: list[int]) -> PickledTensor:
    """Returns a tensor that lies within its storage and has no more numbers than it."""
    if len(shape) == len(strides) <= MAX_AXES and min([offset, *shape, *strides]) >= 0:
        steps = [stride if size > 1 else 0 for size, stride in zip(shape, strides, strict=True)]  # others step nowhere
        last = offset + sum((size - 1) * step for size, step in zip(shape, steps, strict=True))
        if prod(shape) > storage.numel > last:
            raise CheckpointError(
                f"a tensor of shape {shape[:MAX_AXES]} has more numbers than its storage, {storage.numel}: it is an "
                "expanded one; save its contiguous() copy"
            )
        if last < storage.numel or not prod(shape):
            return PickledTensor(storage, offset, tuple(shape), tuple(steps))
    raise CheckpointError(
        f"a tensor of shape {shape[:MAX_AXES]}, strides {strides[:MAX_AXES]} and offset {offset} does not lie within "
        f"its storage of {storage.numel} numbers"
    )


def negated(rest: list[Value], dtype: str) -> bool:
    """The negative bit among a tensor's metadata, the seventh argument; any other bit would change what it means."""
    match rest:
        case [] | [None]:
            return False
        case [dict(metadata)]:
            bits = [key for key, value in metadata.items() if value is not False]
            if bits == ["neg"] and metadata["neg"] is True and dtype in SIGNED:
                return True
            if bits:
                raise CheckpointError(
                    f"a {dtype} tensor has the metadata {', '.join(shown(bit) for bit in bits[:MAX_AXES])}, which "
                    "would change its numbers: save its resolve_conj().resolve_neg().clone()"
                )
            return False
    raise CheckpointError(f"its pickle makes a tensor with {shown(tuple(rest))}")


def item_bytes(dtype: str) -> int:
    """Bytes of one number of this type."""
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def shown(value: Value) -> str:
    """Describes a value in an error by its kind, a word by its name. Prints no nested value: it may contain itself."""
    match value:
        case Word(module, name):
            return f"{module}.{name}"
        case str():
            return repr(value[:80])
        case tuple() if len(value) <= MAX_AXES and not any(isinstance(one, tuple | list | dict) for one in value):
            return f"({', '.join(shown(one) for one in value)})"
    return repr(value) if isinstance(value, int | float | None) else f"a {type(value).__name__}"
