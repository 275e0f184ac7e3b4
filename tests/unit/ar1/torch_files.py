"""Files as ``torch.save`` writes them, and others that it never would, made without torch."""

import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ol0.ar1.archive import open_archive
from ol0.ar1.pickled import read_pickle
from ol0.ar1.tensors import PickledTensor

DATA = Path(__file__).parents[2] / "data" / "ar1"
LAYOUTS = ("pg_final_policy", "bc_best_model", "agentic_final_model", "bare_macro_policy", "bare_router")

Array = NDArray[np.generic]
Content = object
KINDS = {
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "float64": "DoubleStorage",
    "int64": "LongStorage",
    "uint16": "BFloat16Storage",  # the upper halves of float32 numbers
}


@dataclass(frozen=True)
class View:
    """A tensor that is not simply all of its storage."""

    storage: Array
    offset: int
    shape: Sequence[int]
    strides: Sequence[int]


@dataclass(frozen=True)
class Raw:
    """Instructions of a pickle, as they stand."""

    code: bytes


@dataclass
class Writer:
    """Writes protocol 2 by hand, and collects the storages."""

    storages: list[Array] = field(default_factory=list)

    def pickle(self, content: Content) -> bytes:
        return b"\x80\x02" + self.write(content) + b"."

    def write(self, content: Content) -> bytes:  # noqa: C901, PLR0911 - one case a type
        match content:
            case Raw(code):
                return code
            case None:
                return b"N"
            case bool():
                return b"\x88" if content else b"\x89"
            case int():
                size = content.bit_length() // 8 + 1
                return b"\x8a" + bytes([size]) + content.to_bytes(size, "little", signed=True)
            case float():
                return b"G" + struct.pack(">d", content)
            case str():
                text = content.encode()
                return b"X" + struct.pack("<I", len(text)) + text
            case tuple():
                return b"(" + b"".join(map(self.write, content)) + b"t"
            case list():
                return b"](" + b"".join(map(self.write, content)) + b"e"
            case Mapping():
                pairs = [self.write(one) for pair in content.items() for one in pair]
                return b"}(" + b"".join(pairs) + b"u"
            case np.ndarray():
                plain = content.copy(order="C")
                strides = [stride // plain.itemsize for stride in plain.strides]
                return self.tensor(View(plain.ravel(), 0, plain.shape, strides))
            case View():
                return self.tensor(content)
        raise TypeError(f"cannot write {content!r}")

    def tensor(self, view: View) -> bytes:
        kind = Raw(b"ctorch\n" + KINDS[view.storage.dtype.name].encode() + b"\n")
        place = ("storage", kind, str(len(self.storages)), "cpu", view.storage.size)
        self.storages.append(view.storage)
        arguments = (Raw(self.write(place) + b"Q"), view.offset, tuple(view.shape), tuple(view.strides), False, None)
        return b"ctorch._utils\n_rebuild_tensor_v2\n" + self.write(arguments) + b"R"


def save(path: Path, content: Content, byteorder: str = "little") -> Path:
    """As ``torch.save`` would."""
    writer = Writer()
    data = writer.pickle(content)
    order: Literal["<", ">"] = "<" if byteorder == "little" else ">"
    storages = {
        f"data/{number}": storage.astype(storage.dtype.newbyteorder(order)).tobytes()
        for number, storage in enumerate(writer.storages)
    }
    return save_members(path, {"data.pkl": data, "byteorder": byteorder.encode(), **storages, "version": b"3\n"})


def save_members(path: Path, members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip file with these members in one folder."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(f"archive/{name}", data)
    return path


def policy_tensors(name: str = "bare_macro_policy") -> dict[str, Array]:
    """The policy of a file beside the tests, to be changed and saved again."""
    path = DATA / f"{name}.pt"
    with open_archive(path) as archive:
        content = read_pickle(archive, path)
        assert isinstance(content, dict)
        return {str(key): one.read(archive) for key, one in content.items() if isinstance(one, PickledTensor)}
