"""``ol0 demo``: what the project is for, on real Kafka and Valkey, in about two minutes."""

from pathlib import Path

from ol0.simulation.harness import RunPlan, SettingsTree
from ol0.simulation.users import UserHabits


def demo_plan(data: Path | None, out: Path, seed: int, decisions: int, habits: UserHabits) -> RunPlan:
    """The demo: what takes ten minutes in production takes seconds here."""
    return RunPlan(data, out, seed, decisions, habits, demo_settings(seed, habits))


def demo_settings(seed: int, habits: UserHabits) -> SettingsTree:
    """Production's rules at the pace of people who watch."""
    partitions = {"decisions": 2, "feedback.user": 2, "feedback.tool": 1, "feedback.implicit": 1, "outcomes": 2}
    return {
        "kafka": {"partitions": partitions},
        "streaming": {
            "reward_window_s": 1.5,
            "allowed_lateness_s": 0.25,
            "early_skew_s": 0.25,
            "tick_interval_s": 0.2,
            "batch_wait_s": 0.1,
        },
        "warmup": {"canary_threshold": 0.0},  # any data may be tried, however little its base can do
        "safety": {
            "stages": [{"share": 0.5}],
            "max_stage": 4_000,
            "session_gap_s": 1.0,
            "cooldown_s": 300 / habits.rate_per_s,  # as long as 300 decisions take
        },
        "serving": {"arm_key": f"demo-{seed}"},
    }
