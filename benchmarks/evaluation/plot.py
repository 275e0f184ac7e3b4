"""Gain on new kinds against change on old ones: everybody in one plane, and the gradient's parts line by line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import matplotlib as mpl

from benchmarks.evaluation.contenders import ABLATIONS, BASELINES, CEILING, USUAL_LAMBDAS, USUAL_MIX
from benchmarks.evaluation.summary import Summary

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

GOAL_NEW: Final = 57.0
GOAL_OLD: Final = -0.4
OURS: Final = "OL0"
WHOLE: Final = "OL0, gradient"
"""Whose parts are left out, one by one."""
GREEN, RED, GREY = "#1f6f5c", "#b4552d", "#6f8a81"
PLACES: Final[Mapping[str, tuple[float, float, str]]] = {
    "frozen base": (8, -12, "left"),
    "the legacy numbers": (8, 5, "left"),
    "importance weighting": (-5, 5, "right"),
    USUAL_MIX.format(1_000): (9, -24, "left"),
    OURS: (9, -3, "left"),
    CEILING: (0, 9, "center"),
}
"""Where each name stands beside its point; the others to the right below."""


def draw(found: Mapping[str, Summary], path: Path) -> None:
    """Writes an SVG.

    Args:
        found: by contender, where every prompt is new.
        path: of the file.
    """
    figure = plt.figure(figsize=(11.5, 4.8), layout="constrained")
    plane, new, old = figure.subplots(1, 3, width_ratios=(1.35, 0.62, 0.62))
    _plane(plane, {name: it for name, it in found.items() if name in BASELINES or name == CEILING})
    parts = {name: found[name] for name in (*reversed(list(ABLATIONS)), WHOLE) if name in found}
    _lines(new, {name: (it.new, it.new_spread) for name, it in parts.items()}, GOAL_NEW, "success on new kinds, points")
    _lines(old, {name: (it.old, it.old_spread) for name, it in parts.items()}, GOAL_OLD, "change on old kinds, points")
    old.set_yticklabels([])
    new.set_title("The gradient without one of its parts", loc="left")
    mpl.rcParams["svg.hashsalt"] = "ol0"
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _plane(axes: Axes, found: Mapping[str, Summary]) -> None:
    axes.set_title("What learns, and what it costs", loc="left")
    line = [found[name] for name in map(USUAL_MIX.format, USUAL_LAMBDAS) if name in found]
    axes.plot([it.new for it in line], [it.old for it in line], "--", color=RED, linewidth=0.8, zorder=1)
    for name, it in found.items():
        right, up, side = PLACES.get(name, (9, -9, "left"))
        axes.errorbar(it.new, it.old, it.old_spread, it.new_spread, fmt="o", elinewidth=0.8, color=_colour(name, RED))
        axes.annotate(
            name.replace(", lambda", ",\nlambda"),
            (it.new, it.old),
            xytext=(right, up),
            textcoords="offset points",
            ha=side,
            fontsize=8,
            color=_colour(name, "black"),
        )
    axes.set_yscale("symlog", linthresh=1)
    axes.set_yticks([0.5, 0, -0.4, -1, -3, -10], labels=["+.5", "0", "-.4", "-1", "-3", "-10"])
    axes.set_ylim(-20, 0.8)
    axes.set_xlim(36, 82)
    axes.fill_between([GOAL_NEW, 82], GOAL_OLD, 0.8, color=GREEN, alpha=0.08, linewidth=0)
    axes.text(81.5, 0.75, "goal", ha="right", va="top", fontsize=8, color=GREEN)
    axes.set_xlabel("success on new kinds, points")
    axes.set_ylabel("change on old kinds, points")
    axes.spines[["top", "right"]].set_visible(False)


def _lines(axes: Axes, values: Mapping[str, tuple[float, float]], goal: float, label: str) -> None:
    """A line each: mean and spread, beside the goal."""
    axes.axvline(goal, color=GREEN, linewidth=0.8, linestyle=":")
    for number, (name, (mean, spread)) in enumerate(values.items()):
        axes.errorbar(mean, number, xerr=spread, fmt="o", elinewidth=0.8, color=GREEN if name == WHOLE else GREY)
    axes.set_yticks(range(len(values)), labels=list(values), fontsize=8)
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)


def _colour(name: str, otherwise: str) -> str:
    return GREEN if name == OURS else otherwise
