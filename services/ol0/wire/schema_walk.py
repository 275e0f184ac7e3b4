"""The walk over an Avro schema and the type hints of its record together: the reader and the writer are made by it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Generic, NewType, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from ol0.errors import ConfigError

Definition = str | list["Definition"] | dict[str, object]
T = TypeVar("T")
Field = tuple[str, Definition, T]
"""Name, Avro type, and what is made of it."""


@dataclass(frozen=True, slots=True)
class Makers(Generic[T]):
    """What is made of each kind of Avro type, from what was made of its parts."""

    primitives: Mapping[str, T]
    optional: Callable[[T], T]
    record: Callable[[type, Sequence[Field[T]]], T]
    enum: Callable[[Sequence[Enum]], T]
    array: Callable[[T], T]
    map: Callable[[T], T]


class SchemaWalk(Generic[T]):
    """Makes something of a schema; remembers named types, because schemas use them again by name."""

    def __init__(self, makers: Makers[T]) -> None:
        self._makers = makers
        self._named: dict[str, Mapping[str, object]] = {}

    def of(self, definition: Definition, hint: object) -> T:
        """What is made of a type.

        Args:
            definition: its Avro schema.
            hint: what it is in Python; None may be among it where the schema is a union with null.
        """
        if isinstance(definition, list):
            null, inner = definition
            assert null == "null", "ol0 has no other unions"
            return self._makers.optional(self.of(inner, hint))
        if isinstance(definition, str):
            known = self._makers.primitives.get(definition)
            return known or self._complex(self._named[definition], hint)
        if "name" in definition:
            self._named[cast("str", definition["name"])] = definition
        return self._complex(definition, hint)

    def _complex(self, definition: Mapping[str, object], hint: object) -> T:
        python = _plain(hint)
        match definition["type"]:
            case "record":
                return self._record(definition, cast("type", python))
            case "enum":
                kind = cast("type[Enum]", python)
                return self._makers.enum([kind(symbol) for symbol in cast("list[str]", definition["symbols"])])
            case "array":
                return self._makers.array(self.of(cast("Definition", definition["items"]), get_args(python)[0]))
            case "map":
                return self._makers.map(self.of(cast("Definition", definition["values"]), get_args(python)[1]))
        raise ConfigError(f"schemas: ol0 knows no type {definition['type']!r}")

    def _record(self, definition: Mapping[str, object], kind: type) -> T:
        fields = cast("list[dict[str, Definition]]", definition["fields"])
        named = zip(fields, get_type_hints(kind).items(), strict=True)
        return self._makers.record(kind, [(name, it["type"], self.of(it["type"], hint)) for it, (name, hint) in named])


def _plain(hint: object) -> object:
    """Takes NewType and ``| None`` off a type hint."""
    if isinstance(hint, NewType):
        return _plain(hint.__supertype__)
    if get_origin(hint) not in (Union, UnionType):
        return hint
    (inner,) = (argument for argument in get_args(hint) if argument is not NoneType)
    return _plain(inner)
