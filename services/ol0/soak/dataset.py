"""Prompts whose good answers are known: what simulated users ask, and what nobody may train on.

A file holds ``X`` (n, D) features, ``P`` (n, K) probability that expert k answers well, ``old`` (n,) whether the base
controller was trained on prompts of this kind, and ``group`` (n,) labels for reports.
"""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ol0.controller.heads import Floats
from ol0.errors import ConfigError

DEFAULT_DATA = "debian_sections.npz"  # one-line descriptions of Debian packages, ten experts, 32 kinds
REQUIRED = ("X", "P", "old", "group")


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

    def expected_success(self, actions: NDArray[np.intp]) -> float:
        """Mean probability of a good answer when prompt i goes to expert actions[i]."""
        return float(self.success[np.arange(len(self)), actions].mean())


@dataclass(frozen=True, slots=True)
class Split:
    """One seed's division of the prompts. Nothing is in two parts, but for the anchors, which the base has seen.

    Attributes:
        base: old kinds, for training the base.
        suite: old kinds that nobody trains on: the canary suite.
        old_test: old kinds that nobody trains on, the suite among them: what the report measures.
        stream: new kinds, for live traffic.
        new_test: new kinds that nobody trains on.
    """

    base: Prompts
    suite: Prompts
    old_test: Prompts
    stream: Prompts
    new_test: Prompts


def read_prompts(path: Path | None) -> tuple[Prompts, NDArray[np.bool_]]:
    """Opens a data file (None: the one that travels inside the package) and returns its prompts and ``old``.

    Raises:
        ConfigError: no such file, not an .npz, or an array is missing or does not fit the others.
    """
    source = path or Path(str(files("ol0"))) / "soak" / "data" / DEFAULT_DATA
    try:
        with np.load(source, allow_pickle=False) as archive:
            missing = [name for name in REQUIRED if name not in archive]
            if missing:
                raise ConfigError(f"{source}: arrays {', '.join(missing)} are missing; see the README on --data")
            features, success, old, group = (archive[name] for name in REQUIRED)
    except (OSError, ValueError, BadZipFile) as error:
        raise ConfigError(f"{source}: {error}; --data wants an .npz with X, P, old and group") from None
    _check(source, features, success, old, group)
    prompts = Prompts(features.astype(np.float32), success.astype(np.float32), group.astype(np.str_))
    return prompts, old.astype(bool)


def _check(source: Path, features: Floats, success: Floats, old: NDArray[np.bool_], group: NDArray[np.str_]) -> None:
    count = len(features)
    if features.ndim != 2 or success.ndim != 2 or not len(success) == len(old) == len(group) == count:  # noqa: PLR2004 - matrices
        raise ConfigError(f"{source}: X (n, D), P (n, K), old (n,) and group (n,) do not fit each other")
    if not np.isfinite(features).all() or not ((success >= 0) & (success <= 1)).all():
        raise ConfigError(f"{source}: X must be finite and P within 0..1")
    if min(old.sum(), (~old.astype(bool)).sum()) < SMALLEST_KIND:
        raise ConfigError(f"{source}: at least {SMALLEST_KIND} old and {SMALLEST_KIND} new prompts are needed")


SMALLEST_KIND = 200  # below it a quarter holds fewer than 50 prompts, and no figure means anything
SUITE_PROMPTS = 1_200  # at a margin of .02 a smaller suite lets a loss of two points pass too often (design, section 8)


def split_prompts(prompts: Prompts, old: NDArray[np.bool_], seed: int) -> Split:
    """A quarter of the old and of the new kinds is kept back, by a seeded permutation."""
    rng = np.random.default_rng(seed)
    old_rows, new_rows = rng.permutation(np.flatnonzero(old)), rng.permutation(np.flatnonzero(~old))
    held_old, held_new = len(old_rows) // 4, len(new_rows) // 4
    return Split(
        base=prompts.rows(old_rows[held_old:]),
        suite=prompts.rows(old_rows[: min(held_old, SUITE_PROMPTS)]),
        old_test=prompts.rows(old_rows[:held_old]),
        stream=prompts.rows(new_rows[held_new:]),
        new_test=prompts.rows(new_rows[:held_new]),
    )
