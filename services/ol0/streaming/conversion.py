"""Avro's dicts and the dataclasses of ``ol0.records``, converted into each other.

Fields have the same names on both sides, so only what Avro cannot say itself has to change: enums, tuples and nested
records. What changes is read from the type hints once per class; a field of a plain type costs nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Generic, NewType, TypeVar, Union, cast, get_args, get_origin, get_type_hints

Datum = dict[str, object]
"""A record as fastavro reads and writes it. It does not leave the codec."""
Convert = Callable[[object], object]
R = TypeVar("R")


class RecordConverter(Generic[R]):
    """Converts one dataclass, which has no ``__post_init__``."""

    def __init__(self, record_type: type[R]) -> None:
        self._type = record_type
        hints = get_type_hints(record_type)
        self._names = tuple(hints)
        self._reads = _present({name: _reader(hint) for name, hint in hints.items()})
        self._writes = _present({name: _writer(hint) for name, hint in hints.items()})
        self._setters = tuple(getattr(record_type, name).__set__ for name in hints)

    def read(self, datum: Datum) -> R:
        """The dataclass of a datum, which is used up.

        Raises:
            KeyError: a field is missing, or an enum has no such member.
            TypeError: a value is not of the field's type.
        """
        for name, convert in self._reads:
            if (value := datum[name]) is not None:
                datum[name] = convert(value)
        # A frozen dataclass's own __init__ does the same by name, at twice the time; Avro keeps the fields' order.
        record = object.__new__(self._type)
        for setter, value in zip(self._setters, datum.values(), strict=True):
            setter(record, value)
        return record

    def write(self, record: R) -> Datum:
        """The datum of a dataclass."""
        datum = {name: getattr(record, name) for name in self._names}
        for name, convert in self._writes:
            if (value := datum[name]) is not None:
                datum[name] = convert(value)
        return datum


def _present(converts: Mapping[str, Convert | None]) -> tuple[tuple[str, Convert], ...]:
    return tuple((name, convert) for name, convert in converts.items() if convert is not None)


def _reader(hint: object) -> Convert | None:
    """How a value of this type comes out of Avro; None: as it is."""
    plain = _strip(hint)
    if get_origin(plain) is tuple:
        item = _reader(get_args(plain)[0])
        return _each(item) if item else cast("Convert", tuple)
    if isinstance(plain, type) and issubclass(plain, Enum):
        return {member.value: member for member in plain}.__getitem__
    if isinstance(plain, type) and is_dataclass(plain):
        return cast("Convert", RecordConverter(plain).read)
    return None


def _writer(hint: object) -> Convert | None:
    """How a value of this type goes into Avro; None: as it is, which holds for a StrEnum too."""
    plain = _strip(hint)
    if get_origin(plain) is tuple:
        item = _writer(get_args(plain)[0])
        return _each(item) if item else None
    if isinstance(plain, type) and is_dataclass(plain):
        return cast("Convert", RecordConverter(plain).write)
    return None


def _strip(hint: object) -> object:
    """Takes NewType and ``| None`` off a type hint."""
    if isinstance(hint, NewType):
        return _strip(hint.__supertype__)
    if get_origin(hint) not in (Union, UnionType):
        return hint
    (inner,) = (argument for argument in get_args(hint) if argument is not NoneType)
    return _strip(inner)


def _each(convert: Convert) -> Convert:
    return lambda values: tuple(map(convert, cast("tuple[object, ...]", values)))
