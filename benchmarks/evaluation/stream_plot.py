"""Gain on new kinds against change on old ones, a panel for each stream."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import matplotlib as mpl

from benchmarks.evaluation.ceilings import ALL_LABELS, ONE_HEAD
from benchmarks.evaluation.players import PLAYERS
from benchmarks.evaluation.stream_summary import StreamSummary

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

COLOURS: Final = ("#6f8a81", "#a98cc0", "#1f6f5c", "#b4552d", "#2d6cb4", "#c79a1e", "#8a2d5f")
MARKERS: Final = "oX*sD^vPh"
WIDE: Final = 3


def draw(found: Mapping[str, Mapping[str, StreamSummary]], path: Path) -> None:
    """Writes an SVG on a ground of its own, so that it can be read on any page.

    Args:
        found: by stream and contender, under the usual traffic.
        path: of the file.
    """
    lines = -(-len(found) // WIDE)
    figure, panels = plt.subplots(lines, WIDE, figsize=(11.5, 3.6 * lines), layout="constrained", squeeze=False)
    for panel, (stream, summaries) in zip(panels.flat, found.items(), strict=False):
        _panel(panel, stream, summaries)
    for panel in panels.flat[len(found) :]:
        panel.set_axis_off()
    pairs = [zip(*panel.get_legend_handles_labels(), strict=True) for panel in panels.flat]
    named = {name: handle for pair in pairs for handle, name in pair}
    figure.legend(list(named.values()), list(named), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    mpl.rcParams["svg.hashsalt"] = "ol0"
    figure.savefig(path, metadata={"Date": None}, facecolor="white")
    plt.close(figure)


def _panel(axes: Axes, stream: str, summaries: Mapping[str, StreamSummary]) -> None:
    axes.set_title(stream, loc="left")
    axes.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
    axes.axvline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
    for number, name in enumerate((*PLAYERS, ALL_LABELS, ONE_HEAD)):
        if name not in summaries:
            continue
        it, colour = summaries[name], COLOURS[number % len(COLOURS)] if name in PLAYERS else "#333333"
        shape, spread = MARKERS[number % len(MARKERS)], (it.old_spread, it.gain_spread)
        axes.errorbar(it.gain, it.old, *spread, fmt=shape, markersize=6, elinewidth=0.8, color=colour, label=name)
    axes.set_xlabel("gain on new kinds, points")
    axes.set_ylabel("change on old kinds, points")
    axes.spines[["top", "right"]].set_visible(False)
