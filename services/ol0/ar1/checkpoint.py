"""Reads AR1 checkpoints: each tensor is checked, and an error names all that are wrong."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ol0.ar1.architecture import COUNTERS, Architecture
from ol0.ar1.archive import Archive, open_archive
from ol0.ar1.layout import Layout, Weights, find_layout
from ol0.ar1.pickled import read_pickle
from ol0.controller.heads import Floats
from ol0.errors import CheckpointError

FLOATS: Final = ("float32", "float16", "bfloat16")
COUNTER: Final = "int64"
MOST_NAMED: Final = 12


@dataclass(frozen=True, slots=True)
class AR1Checkpoint:
    """A policy as numpy arrays.

    Attributes:
        layout: its place in the file.
        architecture: inferred from its shapes.
        tensors: parameters and ``action_history`` as float32, by AR1's names without a prefix; see Architecture.shapes.
        counters: hysteresis_count and, of a router, flip_count and step_count: whole numbers that change no decision.
        dtypes: how many of its tensors the file holds in each type.
        checksums: whether the file has checksums, which reveal changed bytes.
        differing: tensors whose numbers differ in a second state_dict of the file; the first one is used.
    """

    layout: Layout
    architecture: Architecture
    tensors: Mapping[str, Floats]
    counters: Mapping[str, int]
    dtypes: Mapping[str, int]
    checksums: bool
    differing: tuple[str, ...]

    @property
    def numbers(self) -> int:
        """Numbers in the policy, including its counters but not the router's."""
        return sum(tensor.size for tensor in self.tensors.values()) + 1


def read_ar1(path: Path) -> AR1Checkpoint:
    """Opens and checks a ``.pt`` file. Executes nothing of it.

    Raises:
        CheckpointError: no file of torch.save, a pickle that wants more than tensors, no policy in it, or tensors
            that are missing, unknown, mis-shaped, of another type or not finite: the message names all of them.
    """
    with open_archive(path) as archive:
        content = read_pickle(archive, path)
        try:
            layout = find_layout(content)
            used, *others = (_Opened.of(weights, archive) for weights in layout.weights)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from None
        checksums = archive.checksums
    return AR1Checkpoint(
        layout,
        used.architecture,
        used.tensors,
        used.counters,
        used.dtypes,
        checksums,
        tuple(sorted({name for other in others for name in used.differing(other)})),
    )


@dataclass(frozen=True, slots=True)
class _Opened:
    """One state_dict, checked."""

    architecture: Architecture
    tensors: Mapping[str, Floats]
    counters: Mapping[str, int]
    dtypes: Mapping[str, int]

    @classmethod
    def of(cls, weights: Weights, archive: Archive) -> Self:
        pickled = {**weights.tensors, **weights.router}
        architecture = Architecture.of({name: tensor.shape for name, tensor in weights.tensors.items()})
        expected = architecture.shapes() | dict.fromkeys(weights.router, ())
        if not expected.keys() & pickled.keys():
            raise CheckpointError(
                f"{weights.place} holds {', '.join(list(pickled)[:MOST_NAMED])}, and no tensor of an AR1 policy; for a "
                "network of your own: `ol0 base from-torch`"
            )
        _refuse(weights.place, [*architecture.flaws(), *flaws(pickled, expected)])
        if (numbers := sum(prod(shape) for shape in expected.values())) > archive.size:
            problem = f"{numbers:,} numbers in a file of {archive.size:,} bytes: tensors lie over each other in it"
            _refuse(weights.place, [problem])
        arrays = {name: pickled[name].read(archive) for name in expected}
        _refuse(weights.place, list(not_finite(arrays)))
        kinds = [tensor.dtype for tensor in pickled.values()]
        return cls(
            architecture,
            {name: np.asarray(array, np.float32) for name, array in arrays.items() if name not in COUNTERS},
            {name: int(array.item()) for name, array in arrays.items() if name in COUNTERS},
            {kind: kinds.count(kind) for kind in (*FLOATS, COUNTER) if kind in kinds},
        )

    def differing(self, other: "_Opened") -> Iterator[str]:
        for name in self.tensors.keys() | other.tensors.keys():
            mine, theirs = self.tensors.get(name), other.tensors.get(name)
            if mine is None or theirs is None or not np.array_equal(mine, theirs):
                yield name


class Described(Protocol):
    """Shape and type of a tensor whose numbers were not read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""

    @property
    def dtype(self) -> object:
        """Its name is the type's."""


def flaws(tensors: Mapping[str, Described], expected: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """Yields a sentence for each wrong name, shape or type."""
    yield from (f"{name} is missing" for name in expected if name not in tensors)
    yield from (f"{name[:80]} is unknown" for name in sorted(tensors.keys() - expected.keys()))
    for name, shape in expected.items():
        tensor = tensors.get(name)
        if tensor is None:
            continue
        if tensor.shape != shape:
            yield f"{name} has shape {tensor.shape}, not {shape}"
        types = (COUNTER,) if name in COUNTERS else FLOATS
        if str(tensor.dtype) not in types:
            yield f"{name} is {tensor.dtype}; {', '.join(types)} is right"


def not_finite(arrays: Mapping[str, NDArray[np.generic]]) -> Iterator[str]:
    """Yields a sentence for each array with a number that is not finite."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            yield f"{name} holds a number that is not finite"


def _refuse(place: str, problems: list[str]) -> None:
    if problems:
        raise CheckpointError(f"{place}: {'; '.join(problems)}")
