"""``ol0 soak``: hours of traffic with faults, in as much less time as ``--time-scale`` says."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from ol0.simulation.faults import kill_each_once
from ol0.simulation.harness import RunPlan, SettingsTree
from ol0.simulation.users import UserHabits

# In event time. Most people answer well within the window of ten minutes; the late ones do so after it.
PAUSE_S: Final = 10.0
DELAY_S: Final = 60.0
LATE_S: Final = 700.0


def soak_plan(
    out: Path,
    *,
    duration_hours: float,
    time_scale: float,
    seed: int,
    habits: UserHabits,
    data: Path | None = None,
    topic_prefix: str = "soak",
) -> RunPlan:
    """Production's settings, and every service killed once.

    Args:
        out: folder of the report, the settings and the logs.
        duration_hours: in event time.
        time_scale: seconds of event time in a second of wall time.
        seed: of the split, the base and the users.
        habits: of the users; their rate is in wall time, pauses and delays are replaced by those of event time.
        data: labelled prompts; None: those that travel inside the package.
        topic_prefix: of the lineage: one that its stack has not seen yet.
    """
    wall_s = duration_hours * 3600 / time_scale
    return RunPlan(
        data,
        out,
        seed,
        decisions=max(1, round(wall_s * habits.rate_per_s)),
        habits=scaled(habits, time_scale),
        settings={**soak_settings(seed), "kafka": {"topic_prefix": topic_prefix}},
        time_scale=time_scale,
        faults=kill_each_once(wall_s),
    )


def scaled(habits: UserHabits, time_scale: float) -> UserHabits:
    """The same users, as slow in event time as people are: the pauses within a session stay below its gap."""
    return replace(habits, pause_s=PAUSE_S / time_scale, delay_s=DELAY_S / time_scale, late_s=LATE_S / time_scale)


def soak_settings(seed: int) -> SettingsTree:
    """The defaults, but for the clock and for the base, which routes 71 % of the old prompts right."""
    return {
        "streaming": {"clock": "ticks"},
        "warmup": {"canary_threshold": 0.0},
        "serving": {"arm_key": f"soak-{seed}", "user_key": f"soak-{seed}"},
    }
