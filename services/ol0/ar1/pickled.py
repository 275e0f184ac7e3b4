"""Reads pickles of ``torch.save`` without torch and without executing what a pickle asks for.

A pickle is a program for a stack machine, and Python's own machine calls whatever the program names. The machine here
knows the instructions that a file of tensors and plain values needs, and builds three inert things besides those
values: dictionaries, tensors and words. It imports nothing and calls nothing by name. ``pickletools`` cuts the bytes
into instructions; everything it yields is a plain value.

Pickle's own ``Unpickler`` with a strict ``find_class`` would still let a file reserve memory for a memo of 2^31 places,
hash a tuple that holds itself twice forty times over, and set attributes of what it has built.
"""

import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from ol0.ar1.archive import Archive
from ol0.ar1.tensors import STORAGES, PickledTensor, Storage, Value, Word, item_bytes, negated, shown, within
from ol0.errors import CheckpointError

MAX_INSTRUCTIONS: Final = 4_000_000  # each may make an empty dictionary: 300 MB of them


def read_pickle(archive: Archive, source: Path) -> Value:
    """The values that were saved.

    Raises:
        CheckpointError: the pickle is damaged, or asks for more than tensors and plain values; names what it asks for.
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
                    raise CheckpointError(f"its pickle calls {shown(function)}, which is nothing to call")
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
        """Executes an instruction on all values since the last mark."""
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
            raise CheckpointError(f"its pickle sets attributes of {shown(self._stack[-1])}")

    def _global(self, module: str, name: str) -> Value:
        """Returns the inert value for a name; refuses all other names."""
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
                raise CheckpointError(f"its pickle has a persistent id that is no storage: {shown(value)}")
        found, expected = self._archive.storage_bytes(key), count * item_bytes(dtype)
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
                tensor = within(storage, offset, [_int(one) for one in shape], [_int(one) for one in strides])
                return replace(tensor, negated=negated(rest, storage.dtype))
        raise CheckpointError(f"its pickle makes a tensor of {shown(arguments)}")


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
    raise CheckpointError(f"its pickle makes an OrderedDict of {shown(arguments)}")


def _pair(value: Value) -> tuple[Value, Value]:
    match value:
        case (key, item) | [key, item]:
            return key, item
    raise CheckpointError(f"{shown(value)} is no key and value")


def _parameter(arguments: Value) -> Value:
    """``_rebuild_parameter(tensor, requires_grad, hooks)``: the tensor."""
    match arguments:
        case (PickledTensor() as tensor, bool(), dict() | None):
            return tensor
    raise CheckpointError(f"its pickle makes a parameter of {shown(arguments)}")


def _size(arguments: Value) -> Value:
    """``Size((2, 3))``: the tuple."""
    match arguments:
        case (tuple(shape),):
            return shape
    raise CheckpointError(f"its pickle makes a Size of {shown(arguments)}")


def _set(target: Value, items: list[Value]) -> Value:
    """Puts alternating keys and values into a dictionary. Keys are text or whole numbers: others may hash endlessly."""
    if not isinstance(target, dict) or len(items) % 2:
        raise CheckpointError(f"its pickle sets items of {shown(target)}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int):
            raise CheckpointError(f"its pickle has a key that is no word and no whole number: {shown(key)}")
        if key in target:
            raise CheckpointError(f"its pickle has the key {shown(key)} twice")
        target[key] = value
    return target


def _list(value: Value) -> list[Value]:
    if not isinstance(value, list):
        raise CheckpointError(f"its pickle appends to {shown(value)}")
    return value


def _int(value: Value) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise CheckpointError(f"a whole number is expected, and {shown(value)} was found")
    return value
