"""``ol0 soak``: hours of traffic with faults, in as much less time as ``--time-scale`` says."""

from pathlib import Path

from ol0.soak.faults import kill_each_once
from ol0.soak.harness import RunPlan, SettingsTree
from ol0.soak.users import UserHabits


def soak_plan(
    out: Path,
    *,
    duration_hours: float,
    time_scale: float,
    seed: int,
    habits: UserHabits,
    data: Path | None = None,
) -> RunPlan:
    """Production's settings, and every service killed once.

    Args:
        out: folder of the report, the settings and the logs.
        duration_hours: in event time.
        time_scale: seconds of event time in a second of wall time.
        seed: of the split, the base and the users.
        habits: in wall time.
        data: labelled prompts; None: those that travel inside the package.
    """
    wall_s = duration_hours * 3600 / time_scale
    decisions = max(1, round(wall_s * habits.rate_per_s))
    return RunPlan(
        data, out, seed, decisions, habits, soak_settings(seed), time_scale=time_scale, faults=kill_each_once(wall_s)
    )


def soak_settings(seed: int) -> SettingsTree:
    """The defaults, but for the clock and for the base, which routes 71 % of the old prompts right."""
    return {
        "streaming": {"clock": "ticks"},
        "warmup": {"canary_threshold": 0.0},
        "serving": {"arm_key": f"soak-{seed}"},
    }
