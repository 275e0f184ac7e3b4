"""Files of tensors as people have them: a state_dict of torch, safetensors, npz. Nothing in one is executed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError, safe_open

from ol0.ar1.archive import open_archive
from ol0.ar1.layout import WRAPPERS
from ol0.ar1.pickled import read_pickle
from ol0.ar1.tensors import PickledTensor, Value
from ol0.controller.heads import Floats
from ol0.controller.npz import read_npz
from ol0.errors import ConfigError

CONTAINERS: Final = ("state_dict", "model_state_dict", "model")
"""Keys under which training loops keep a state_dict."""
SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Tensors:
    """What a file holds.

    Attributes:
        named: float32, in the order of the file, by their names without wrappers.
        wrappers: what ``DataParallel`` or ``torch.compile`` had put into the names.
        place: the key of the file that they were under; None: the file itself is the state_dict.
    """

    named: Mapping[str, Floats]
    wrappers: tuple[str, ...] = ()
    place: str | None = None

    def of_rank(self, rank: int, name: str | None) -> Floats:
        """The tensor of this name, or the only one of this rank.

        Raises:
            ConfigError: no tensor matches, or several.
        """
        found = [key for key, array in self.named.items() if array.ndim == rank]
        if name is not None and name in self.named:
            return self.named[name]
        if name is not None or len(found) != 1:
            what = f"no {name}" if name is not None else f"{len(found)} tensors of rank {rank}"
            raise ConfigError(f"the file has {what}; it holds {', '.join(self.named)!s:.300}: name --weight and --bias")
        return self.named[found[0]]

    def has(self, rank: int) -> bool:
        """Whether there is a tensor of this rank."""
        return any(array.ndim == rank for array in self.named.values())

    def lines(self) -> list[str]:
        """What was found, a tensor per line."""
        lines = [f"{name:<24} {' x '.join(map(str, array.shape)) or 'scalar'}" for name, array in self.named.items()]
        if self.wrappers:
            lines.append(f"names came with {' and '.join(f'{word}.' for word in self.wrappers)}, which was left out")
        if self.place is not None:
            lines.append(f"they were under {self.place!r}; nothing else in the file is used")
        return [*lines[:SHOWN], f"... {len(lines) - SHOWN} more"] if len(lines) > SHOWN else lines


def read_tensors(path: Path) -> Tensors:
    """Opens a file by its ending: .safetensors, .npz, or else what ``torch.save`` writes.

    Raises:
        ConfigError: it cannot be read, or holds no tensors of numbers.
        CheckpointError: a pickle that asks for anything but tensors and plain values.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: No such file; name a state_dict (.pt, .safetensors) or an .npz")
    if path.suffix == ".npz":
        return _tensors(path, dict(read_npz(path, ())))
    if path.suffix == ".safetensors":
        return _tensors(path, _safetensors(path))
    with open_archive(path) as archive:
        content = read_pickle(archive, path)
        place, state = _state_dict(path, content)
        held = {str(name): value.read(archive) for name, value in state.items() if isinstance(value, PickledTensor)}
    return _tensors(path, held, place)


def _safetensors(path: Path) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in sorted(file.keys(), key=_natural)}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except (SafetensorError, TypeError) as error:
        raise ConfigError(f"{path}: {error}; tensors are float32, float16 or float64") from None


def _natural(name: str) -> list[tuple[int, str]]:
    """Layer 10 after layer 9: the format keeps no order."""
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in re.split(r"(\d+)", name)]


def _state_dict(path: Path, content: Value) -> tuple[str | None, Mapping[str | int, Value]]:
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: it holds no dictionary; torch.save(model.state_dict(), FILE) writes what is wanted")
    for place in CONTAINERS:
        if isinstance(inner := content.get(place), dict):
            return place, inner
    return None, content


def _tensors(
    path: Path, held: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]], place: str | None = None
) -> Tensors:
    named: dict[str, Floats] = {}
    words = {word for name in held for word in name.split(".")}
    for name, array in held.items():
        plain = ".".join(word for word in name.split(".") if word not in WRAPPERS)
        if array.dtype.kind != "f":
            continue  # counters, such as num_batches_tracked
        if not np.isfinite(array).all():
            raise ConfigError(f"{path}: {name} holds a number that is not finite")
        named[plain] = np.ascontiguousarray(array, np.float32)
    if not named:
        raise ConfigError(f"{path}: it holds no tensors of numbers")
    return Tensors(named, tuple(word for word in WRAPPERS if word in words), place)
