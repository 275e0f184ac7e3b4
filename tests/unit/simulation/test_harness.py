"""What a run refuses before it has started anything."""

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ol0.errors import ConfigError
from ol0.simulation.demo import demo_plan
from ol0.simulation.harness import RunPlan, play
from ol0.simulation.users import UserHabits
from ol0.stacks.native import NativeStack


@pytest.fixture
def plan(tmp_path: Path) -> RunPlan:
    """Of prompts with 20,000 features."""
    rows = np.arange(500)
    success = np.full((500, 2), 0.2)
    success[rows, rows % 2] = 0.9
    path = tmp_path / "wide.npz"
    np.savez_compressed(path, X=np.ones((500, 20_000), np.float16), P=success, old=rows < 250, group=rows % 5)
    return demo_plan(path, tmp_path / "out", 0, 1_000, UserHabits())


def refusal(plan: RunPlan) -> str:
    with pytest.raises(ConfigError) as refused:
        play(plan, NativeStack, Console())
    assert not plan.out.exists()
    return str(refused.value)


def test_features_that_the_store_has_no_room_for_are_refused_when_the_file_is_read(plan: RunPlan) -> None:
    said = refusal(plan)
    assert "wide.npz: the replay store may hold 1,024 MiB" in said
    assert "of 20,000 features come to need 1,198 MiB" in said
    assert "OL0_ONLINE_LEARNING__REPLAY_SIZE" in said


def test_a_variable_that_is_no_size_is_told_as_one(plan: RunPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OL0_ONLINE_LEARNING__REPLAY_SIZE", "few")
    assert refusal(plan).startswith("environment:\n  online_learning.replay_size: ")
