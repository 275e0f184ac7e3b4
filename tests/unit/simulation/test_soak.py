import json
from dataclasses import replace
from pathlib import Path

import pytest

from ol0.config import Settings, load_settings
from ol0.simulation.harness import RunPlan
from ol0.simulation.soak import soak_plan, soak_settings
from ol0.simulation.users import UserHabits

HABITS = UserHabits(rate_per_s=100)


def plan(duration_hours: float = 24, time_scale: float = 144, habits: UserHabits = HABITS) -> RunPlan:
    return soak_plan(Path("out"), duration_hours=duration_hours, time_scale=time_scale, seed=3, habits=habits)


def settings_of(run: RunPlan, folder: Path) -> Settings:
    path = folder / "ol0.json"
    path.write_text(json.dumps(run.settings))
    return load_settings(path)


def test_a_day_at_144_times_the_pace_is_ten_minutes_of_traffic() -> None:
    assert plan().decisions == 600 * 100


def test_without_a_scale_an_hour_is_an_hour() -> None:
    assert plan(duration_hours=1, time_scale=1).decisions == 3600 * 100


def test_the_shortest_run_asks_one_prompt() -> None:
    assert plan(duration_hours=0.01, time_scale=1e6).decisions == 1


def test_all_faults_come_while_users_ask() -> None:
    assert min(fault.at_s for fault in plan().faults) > 0
    assert max(fault.at_s for fault in plan().faults) < 600


def test_the_rate_is_one_of_wall_time_and_all_other_times_are_scaled() -> None:
    slow, fast = plan(time_scale=1).habits, plan(time_scale=144).habits
    assert slow.rate_per_s == fast.rate_per_s == 100
    for name in ("pause_s", "delay_s", "late_s"):
        assert getattr(slow, name) == pytest.approx(144 * getattr(fast, name)), name


def test_shares_of_the_users_are_kept() -> None:
    habits = replace(HABITS, silent_share=0.5)
    assert plan(habits=habits).habits.silent_share == 0.5


def test_users_pause_within_the_session_gap_answer_within_the_window_and_are_late_after_it(tmp_path: Path) -> None:
    run = plan(time_scale=1)
    settings = settings_of(run, tmp_path)
    assert run.habits.pause_s < settings.safety.session_gap_s / 4
    assert run.habits.delay_s < settings.streaming.reward_window_s / 4
    assert run.habits.late_s > settings.streaming.reward_window_s + settings.streaming.allowed_lateness_s


def test_a_soak_plays_with_the_settings_of_production(tmp_path: Path) -> None:
    played, production = settings_of(plan(), tmp_path), Settings()
    assert played.streaming == production.streaming.model_copy(update={"clock": "ticks"})
    assert (played.safety, played.online_learning) == (production.safety, production.online_learning)
    assert soak_settings(3).keys() == {"streaming", "warmup", "serving"}
