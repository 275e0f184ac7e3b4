"""What ``torch.save`` pickled, read without torch and without running anything that a pickle asks for.

A pickle is a program for a stack machine, and Python's own machine calls whatever the program names. The machine here
knows the instructions that a file of tensors and plain values needs, and builds three inert things besides those
values: dictionaries, tensors and words. It imports nothing and calls nothing by name. ``pickletools`` cuts the bytes
into instructions; everything it yields is a plain value.

Pickle's own ``Unpickler`` with a strict ``find_class`` would still let a file reserve memory for a memo of 2^31 places,
hash a tuple that holds itself twice forty times over, and set attributes of what it has built.
"""

import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from ol0.ar1.archive import Archive
from ol0.errors import CheckpointError

MAX_AXES: Final = 8
MAX_INSTRUCTIONS: Final = 4_000_000  # each may make an empty dictionary: 300 MB of them

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
    """A tensor of which nothing has been read yet; that it lies within its storage has been checked.

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
        """The numbers, in the machine's byte order; bfloat16 comes as float32, which holds it exactly.

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


def read_pickle(archive: Archive, source: Path) -> Value:
    """The values that were saved.

    Raises:
        CheckpointError: the pickle asks for anything but tensors and plain values, and says for what; or it is damaged.
    """
    data = archive.pickle()
    try:
        return _Machine(archive).run(data)
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}; nothing of it was run") from None
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{source}: its pickle is damaged: {error!r}") from None


class _Machine:
    """The stack, the memo, and what each instruction does to them."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._stack: list[Value] = []
        self._below: list[list[Value]] = []  # the stacks that a mark has covered
        self._memo: dict[int, Value] = {}

    def run(self, data: bytes) -> Value:
        for name, argument in _instructions(data):
            if name == "STOP":
                (value,) = self._stack
                return value
            self._step(name, argument)
        raise ValueError("it does not stop")

    def _step(self, name: str, argument: Value) -> None:  # noqa: C901, PLR0912 - a table of instructions
        stack = self._stack
        match name:
            case "PROTO" | "FRAME":
                pass
            case _ if name in _CONSTANTS:
                stack.append(argument)
            case _ if name in _FRESH:
                stack.append(_FRESH[name]())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                stack[-count:] = [tuple(self._top(count))]
            case "MARK":
                self._below.append(stack)
                self._stack = []
            case "TUPLE" | "APPENDS" | "SETITEMS":
                self._marked(name)
            case "APPEND":
                _list(stack[-2]).append(stack.pop())
            case "SETITEM":
                key, value = self._top(2)
                del stack[-2:]
                _set(stack[-1], [key, value])
            case "BINPUT" | "LONG_BINPUT":
                self._memo[_int(argument)] = stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[_int(argument)])
            case "GLOBAL":
                module, _, word = str(argument).partition(" ")
                stack.append(self._global(module, word))
            case "STACK_GLOBAL":
                module, word = (str(one) for one in self._top(2))
                stack[-2:] = [self._global(module, word)]
            case "BINPERSID":
                stack[-1] = self._storage(stack[-1])
            case "REDUCE":
                function, arguments = self._top(2)
                if not callable(function):
                    raise CheckpointError(f"its pickle calls {_shown(function)}, which is nothing to call")
                stack[-2:] = [function(arguments)]
            case "BUILD":
                self._build()
            case _:
                raise CheckpointError(f"its pickle has the instruction {name}, which no tensor needs")

    def _top(self, count: int) -> list[Value]:
        if len(self._stack) < count:
            raise ValueError("the stack is empty")
        return self._stack[-count:]

    def _marked(self, name: str) -> None:
        """Instructions on everything since the last mark."""
        items, self._stack = self._stack, self._below.pop()
        match name:
            case "TUPLE":
                self._stack.append(tuple(items))
            case "APPENDS":
                _list(self._stack[-1]).extend(items)
            case _:
                _set(self._stack[-1], items)

    def _build(self) -> None:
        """Attributes of an ordered dictionary: torch keeps versions of modules there, which change no number."""
        state = self._stack.pop()
        if not isinstance(self._stack[-1], dict) or not isinstance(state, dict) or state.keys() - {"_metadata"}:
            raise CheckpointError(f"its pickle sets attributes of {_shown(self._stack[-1])}")

    def _global(self, module: str, name: str) -> Value:
        """The inert thing that stands for a name; no other name is taken."""
        match module, name:
            case "collections", "OrderedDict":
                return _ordered_dict
            case "torch._utils", "_rebuild_tensor_v2":
                return self._tensor
            case "torch._utils", "_rebuild_parameter":
                return _parameter
            case "torch", "Size":
                return _size
            case "torch", _ if name in STORAGES or name in STORAGES.values():
                return Word(module, name)
        raise CheckpointError(
            f"its pickle wants {module}.{name}; a checkpoint of tensors needs no such thing. Save the state_dict alone"
        )

    def _storage(self, value: Value) -> Storage:
        match value:
            case ("storage", Word("torch", kind), str(key), str(), int(count)) if kind in STORAGES and count >= 0:
                dtype = STORAGES[kind]
            case _:
                raise CheckpointError(f"its pickle has a persistent id that is no storage: {_shown(value)}")
        found, expected = self._archive.storage_bytes(key), count * _item_bytes(dtype)
        if found != expected:
            raise CheckpointError(
                f"storage {key[:80]!r} of {count} {dtype} needs {expected} bytes, the file has {found or 'none'}"
            )
        return Storage(key, dtype, count)

    def _tensor(self, arguments: Value) -> PickledTensor:
        """``_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks, metadata = None)``.

        Whether it wants gradients changes no number, and hooks would be functions, which no pickle may hold here.
        """
        match arguments:
            case (Storage() as storage, int(offset), tuple(shape), tuple(strides), bool(), dict() | None, *rest):
                tensor = _within(storage, offset, [_int(one) for one in shape], [_int(one) for one in strides])
                return replace(tensor, negated=_negated(rest, storage.dtype))
        raise CheckpointError(f"its pickle makes a tensor of {_shown(arguments)}")


def _within(storage: Storage, offset: int, shape: list[int], strides: list[int]) -> PickledTensor:
    """A tensor that lies within its storage and has no more numbers than it."""
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


def _negated(rest: list[Value], dtype: str) -> bool:
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
                    f"a {dtype} tensor has the metadata {', '.join(_shown(bit) for bit in bits[:MAX_AXES])}, which "
                    "would change its numbers: save its resolve_conj().resolve_neg().clone()"
                )
            return False
    raise CheckpointError(f"its pickle makes a tensor with {_shown(tuple(rest))}")


_FRESH: Final[Mapping[str, Callable[[], Value]]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_CONSTANTS: Final = frozenset(
    {
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "BINFLOAT",
    }
)


def _instructions(data: bytes) -> Iterator[tuple[str, Value]]:
    for number, (code, argument, _) in enumerate(pickletools.genops(data)):
        if number >= MAX_INSTRUCTIONS:
            raise CheckpointError(
                f"its pickle has more than {MAX_INSTRUCTIONS:,} instructions: it holds more than tensors"
            )
        yield code.name, argument


def _ordered_dict(arguments: Value) -> Value:
    """``OrderedDict()``, and the form with a list of pairs."""
    if arguments == ():
        return {}
    match arguments:
        case (list(pairs),):
            return _set({}, [item for pair in pairs for item in _pair(pair)])
    raise CheckpointError(f"its pickle makes an OrderedDict of {_shown(arguments)}")


def _pair(value: Value) -> tuple[Value, Value]:
    match value:
        case (key, item) | [key, item]:
            return key, item
    raise CheckpointError(f"{_shown(value)} is no key and value")


def _parameter(arguments: Value) -> Value:
    """``_rebuild_parameter(tensor, requires_grad, hooks)``: the tensor."""
    match arguments:
        case (PickledTensor() as tensor, bool(), dict() | None):
            return tensor
    raise CheckpointError(f"its pickle makes a parameter of {_shown(arguments)}")


def _size(arguments: Value) -> Value:
    """``Size((2, 3))``: the tuple."""
    match arguments:
        case (tuple(shape),):
            return shape
    raise CheckpointError(f"its pickle makes a Size of {_shown(arguments)}")


def _set(target: Value, items: list[Value]) -> Value:
    """Keys and values in turn, into a dictionary. Keys are words or whole numbers: others may take for ever to hash."""
    if not isinstance(target, dict) or len(items) % 2:
        raise CheckpointError(f"its pickle sets items of {_shown(target)}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int):
            raise CheckpointError(f"its pickle has a key that is no word and no whole number: {_shown(key)}")
        if key in target:
            raise CheckpointError(f"its pickle has the key {_shown(key)} twice")
        target[key] = value
    return target


def _list(value: Value) -> list[Value]:
    if not isinstance(value, list):
        raise CheckpointError(f"its pickle appends to {_shown(value)}")
    return value


def _int(value: Value) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise CheckpointError(f"{_shown(value)} stands where a whole number should")
    return value


def _item_bytes(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def _shown(value: Value) -> str:
    """A value in an error: its kind, and of a word its name; a value that holds itself many times is never printed."""
    match value:
        case Word(module, name):
            return f"{module}.{name}"
        case str():
            return repr(value[:80])
        case tuple() if len(value) <= MAX_AXES and not any(isinstance(one, tuple | list | dict) for one in value):
            return f"({', '.join(_shown(one) for one in value)})"
    return repr(value) if isinstance(value, int | float | None) else f"a {type(value).__name__}"
