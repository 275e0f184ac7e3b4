"""Many runs of one contender on a stream in a few figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from benchmarks.evaluation.traffic import Outcome


@dataclass(frozen=True)
class StreamSummary:
    """Means over splits, in points of success; spreads are standard deviations between splits.

    Attributes:
        runs: how many.
        new, new_spread: success on the new test at the end.
        gain, gain_spread: of it against the base.
        old, old_spread, worst_old: change on the old test against the base; the last of the worst split.
        curve: gain on the new test after ``traffic.MARKS``.
        online, regret, cpu_s: of ``traffic.Outcome``.
    """

    runs: int
    new: float
    new_spread: float
    gain: float
    gain_spread: float
    old: float
    old_spread: float
    worst_old: float
    curve: tuple[float, ...]
    online: float | None
    regret: float | None
    cpu_s: float | None

    @classmethod
    def of(cls, runs: Sequence[Outcome], bases: Sequence[Outcome]) -> Self:
        """Of one contender on one stream, and of the frozen base on the same splits."""
        new, old, base_new, base_old = (
            np.array([getattr(run, name) for run in some]) for some in (runs, bases) for name in ("new", "old")
        )
        gain, change = new - base_new, old - base_old
        curves = np.array([run.curve for run in runs]) - base_new[:, None]
        return cls(
            runs=len(runs),
            new=float(new.mean()),
            new_spread=float(new.std()),
            gain=float(gain.mean()),
            gain_spread=float(gain.std()),
            old=float(change.mean()),
            old_spread=float(change.std()),
            worst_old=float(change.min()),
            curve=tuple(curves.mean(axis=0).tolist()) if runs[0].curve else (),
            online=_mean([run.online for run in runs]),
            regret=_mean([run.regret for run in runs]),
            cpu_s=_mean([run.cpu_s for run in runs]),
        )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
