"""Type hints of the records' fields, as the codec looks at them."""

from types import NoneType, UnionType
from typing import NewType, Union, get_args, get_origin


def plain(hint: object) -> object:
    """Takes NewType and ``| None`` off a type hint."""
    if isinstance(hint, NewType):
        return plain(hint.__supertype__)
    if get_origin(hint) not in (Union, UnionType):
        return hint
    (inner,) = (argument for argument in get_args(hint) if argument is not NoneType)
    return plain(inner)
