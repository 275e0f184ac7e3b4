"""Prompts whose good answers are known: what simulated users ask, and what is never trained on.

What a file holds: see ``prompt_file``.
"""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ol0.controller.heads import Floats
from ol0.operator.setup.prompt_file import read_prompt_file

DEFAULT_DATA = "debian_sections.npz"  # one-line descriptions of Debian packages, ten experts, 32 kinds


@dataclass(frozen=True, slots=True)
class Prompts:
    """n prompts.

    Attributes:
        features: shape (n, D), float32.
        success: shape (n, K), probability that expert k answers well.
        groups: shape (n,), label of each prompt's kind.
    """

    features: Floats
    success: Floats
    groups: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, index: NDArray[np.intp]) -> "Prompts":
        """Those rows, in that order."""
        return Prompts(self.features[index], self.success[index], self.groups[index])

    @property
    def best(self) -> Floats:
        """Probability that the best expert of each prompt answers well, shape (n,)."""
        return np.asarray(self.success.max(axis=1))

    def expected_success(self, actions: NDArray[np.intp]) -> float:
        """Mean probability of a good answer when prompt i goes to expert actions[i]."""
        return float(self.success[np.arange(len(self)), actions].mean())


@dataclass(frozen=True, slots=True)
class Split:
    """One seed's division of the prompts. Nothing is in two parts, but for the anchors, which the base has seen.

    Attributes:
        base: old kinds, for training the base.
        suite: old kinds, not trained on: the canary suite.
        old_test: old kinds, not trained on, including the suite: what the report measures.
        stream: new kinds, for live traffic.
        new_test: new kinds, not trained on.
    """

    base: Prompts
    suite: Prompts
    old_test: Prompts
    stream: Prompts
    new_test: Prompts


def read_prompts(path: Path | None) -> tuple[Prompts, NDArray[np.bool_]]:
    """Opens a data file (None: the one that travels inside the package) and returns its prompts and ``old``.

    Raises:
        ConfigError: there is no such file, or it is not what ``prompt_file`` describes.
    """
    found = read_prompt_file(path or Path(str(files("ol0.operator.setup"))) / "data" / DEFAULT_DATA)
    return Prompts(found.features, found.success, found.groups), found.old


def kinds_of(groups: NDArray[np.str_], old: NDArray[np.bool_]) -> dict[str, str]:
    """What kind of prompt each label is, ``new`` or ``old``; a label of both is left out."""
    new, known = set(groups[~old].tolist()), set(groups[old].tolist())
    return {**dict.fromkeys(new - known, "new"), **dict.fromkeys(known - new, "old")}


SUITE_PROMPTS = 1_200
"""At a margin of .02 a smaller suite lets a loss of two points pass too often. This is of prompts
that all have an expert as good as any; where many have none, as many more say the same."""


def asked_of_suite(prompts: Prompts) -> int:
    """How many of these a suite needs."""
    return round(SUITE_PROMPTS * float(prompts.best.max(initial=0) / (prompts.best.mean() or 1)))


def split_prompts(prompts: Prompts, old: NDArray[np.bool_], seed: int) -> Split:
    """A quarter of the old and of the new kinds is kept back, by a seeded permutation."""
    rng = np.random.default_rng(seed)
    old_rows, new_rows = rng.permutation(np.flatnonzero(old)), rng.permutation(np.flatnonzero(~old))
    held_old, held_new = len(old_rows) // 4, len(new_rows) // 4
    asked = asked_of_suite(prompts.rows(old_rows[:held_old]))
    return Split(
        base=prompts.rows(old_rows[held_old:]),
        suite=prompts.rows(old_rows[: min(held_old, asked)]),
        old_test=prompts.rows(old_rows[:held_old]),
        stream=prompts.rows(new_rows[held_new:]),
        new_test=prompts.rows(new_rows[:held_new]),
    )
