"""What every process holds in memory over a run, and a picture of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np

from testbed.faults.memory import resident_mib

mpl.use("Agg")
from matplotlib import pyplot as plt


@dataclass
class Memory:
    """Resident memory of every process, in MiB, by name: (seconds, MiB)."""

    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def sample(self, at_s: float, pids: Mapping[str, int]) -> None:
        """Adds a point for each that runs."""
        resident = resident_mib(pids.values())
        for name, pid in pids.items():
            if pid in resident:
                self.series.setdefault(name, []).append((at_s, resident[pid]))

    def slope(self, name: str) -> float:
        """MiB a minute over the second half, by least squares."""
        points = np.array(self.series[name])
        half = points[points[:, 0] >= points[-1, 0] / 2]
        return float(np.polyfit(half[:, 0] / 60, half[:, 1], 1)[0]) if len(half) > 1 else 0.0

    def figures(self) -> dict[str, dict[str, float]]:
        """Median, largest and slope, by name."""
        return {
            name: {
                "slope_mib_per_minute_second_half": round(self.slope(name), 3),
                "median_mib": round(float(np.median([mib for _, mib in points])), 1),
                "largest_mib": round(max(mib for _, mib in points), 1),
            }
            for name, points in self.series.items()
        }


def plot(memory: Memory, every_s: float, path: Path) -> None:
    """Draws the memory of every process over time."""
    figure, axes = plt.subplots(figsize=(9, 4.5))
    for name, points in sorted(memory.series.items()):
        dashes = "--" if name.startswith("unlucky") else "-"
        axes.plot([at / 60 for at, _ in points], [mib for _, mib in points], dashes, label=name, linewidth=1)
    axes.set(
        xlabel="minutes",
        ylabel="resident memory, MiB",
        title=f"Full load, a fault every {every_s:g} s",
        ylim=(0, None),
    )
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
