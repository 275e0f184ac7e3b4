"""States as they come out of a snapshot."""

import re
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

State = TypeVar("State")


def dumped(state: object) -> bytes:
    return TypeAdapter(type(state)).dump_json(state)


def loaded(kind: type[State], body: bytes) -> State:
    return TypeAdapter(kind).validate_json(body)


def restored(state: State) -> State:
    return loaded(type(state), dumped(state))


def of_an_earlier_version(test: str) -> bytes:
    """The snapshot beside this test, with its zeros: ``A{100}`` is A a hundred times."""
    text = Path(test).with_name("stored_snapshot.json").read_text()
    return re.sub(r"A\{(\d+)\}", lambda run: "A" * int(run[1]), text).strip().encode()
