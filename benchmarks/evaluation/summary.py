"""Many runs in a few figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from benchmarks.evaluation.play import Figures

LEAST_PROMPTS = 40
"""In the test: a kind with fewer moves by chance."""


@dataclass(frozen=True)
class Summary:
    """Means over splits, in points; spreads are standard deviations between them.

    Attributes:
        runs: how many.
        base_new, new, old: of ``play.Figures``.
        new_spread, old_spread: of the same.
        worst_new, worst_old: of the worst split.
        half: prompts after which half of the gain is there, on the mean curve; None where nothing is gained.
        kind_down, kind_up: the largest mean changes of one kind.
        target: change of the kind that liars lie about.
    """

    runs: int
    base_new: float
    new: float
    new_spread: float
    worst_new: float
    old: float
    old_spread: float
    worst_old: float
    half: int | None
    kind_down: float
    kind_up: float
    target: float | None

    @classmethod
    def of(cls, runs: Sequence[Figures]) -> Self:
        """Of one contender in one scenario."""
        new, old = np.array([run.new for run in runs]), np.array([run.old for run in runs])
        base_new = float(np.mean([run.base_new for run in runs]))
        kinds = changes_by_kind(runs)
        targets = [run.kinds[run.target][2] for run in runs if run.target in run.kinds]
        return cls(
            runs=len(runs),
            base_new=base_new,
            new=float(new.mean()),
            new_spread=float(new.std()),
            worst_new=float(new.min()),
            old=float(old.mean()),
            old_spread=float(old.std()),
            worst_old=float(old.min()),
            half=half_of_the_gain([run.curve for run in runs], base_new),
            kind_down=min(kinds.values(), default=0.0),
            kind_up=max(kinds.values(), default=0.0),
            target=float(np.mean(targets)) if targets else None,
        )


def changes_by_kind(runs: Sequence[Figures]) -> Mapping[str, float]:
    """Mean change of every kind that is frequent enough in every split's test."""
    names = set.intersection(*(set(run.kinds) for run in runs)) if runs else set()
    frequent = [name for name in sorted(names) if min(run.kinds[name][0] for run in runs) >= LEAST_PROMPTS]
    return {name: float(np.mean([run.kinds[name][2] for run in runs])) for name in frequent}


def half_of_the_gain(curves: Sequence[Sequence[tuple[int, float]]], base: float) -> int | None:
    """Where the mean curve first crosses the middle between base and end, straight lines between its points."""
    shortest = min((len(curve) for curve in curves), default=0)
    if not shortest:
        return None
    prompts = np.array([0, *(at for at, _ in curves[0][:shortest])])
    means = np.array([base, *np.mean([[value for _, value in curve[:shortest]] for curve in curves], axis=0)])
    middle = base + (means[-1] - base) / 2
    if means[-1] - base < 1:
        return None
    after = int(np.argmax(means >= middle))
    share = (middle - means[after - 1]) / (means[after] - means[after - 1])
    return round(float(prompts[after - 1] + share * (prompts[after] - prompts[after - 1])))
