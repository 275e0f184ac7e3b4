"""``ol0 demo``: what the project is for, on real Kafka and Valkey, in about two minutes."""

from collections.abc import Callable
from pathlib import Path

from ol0.controller.checkpoint import read_base
from ol0.controller.warmup import base_checkpoint
from ol0.errors import ConfigError
from ol0.operator.setup.base_folder import BASE
from ol0.operator.setup.base_from_labels import PART
from ol0.operator.setup.prompts import Prompts
from ol0.simulation.harness import RunPlan, SettingsTree
from ol0.simulation.users import UserHabits

MakeBase = Callable[[Prompts], bytes]


def demo_plan(
    data: Path | None, out: Path, seed: int, decisions: int, habits: UserHabits, make_base: MakeBase | None = None
) -> RunPlan:
    """The demo: what takes ten minutes in production takes seconds here."""
    return RunPlan(data, out, seed, decisions, habits, demo_settings(seed, habits), make_base=make_base)


def base_in(folder: Path) -> MakeBase:
    """The base of a folder that ``ol0 base`` wrote, once it is known to take the prompts.

    Raises:
        ConfigError: the folder has none; later, that it takes other prompts.
    """
    base, data = read_base(folder / BASE), (folder / BASE).read_bytes()

    def taken(prompts: Prompts) -> bytes:
        found, wanted = (prompts.features.shape[1], prompts.success.shape[1:]), (base.dimension, base.choices)
        if found != wanted:
            raise ConfigError(
                f"{folder / BASE} takes {wanted[0]:,} features and has {wanted[1]} choices; the prompts have "
                f"{found[0]:,} and {found[1]}: name the prompts that it was made for with --data"
            )
        return data

    return taken


def base_with_hidden_layers(hidden: tuple[int, ...], seed: int, epsilon: float, *, trainable: bool = False) -> MakeBase:
    """A base that is trained in torch, of hidden layers of these widths; trainable ones may be tuned later.

    Raises:
        ModuleNotFoundError: torch is not installed.
    """
    from ol0.operator.setup.torch_training import train_mlp  # noqa: PLC0415 - only here is torch needed

    def trained(prompts: Prompts) -> bytes:
        head, trunk = train_mlp(prompts, hidden, seed).above(prompts.features, trainable)
        return base_checkpoint((PART,), (head,), epsilon, trunk=trunk)

    return trained


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
        "serving": {"arm_key": f"demo-{seed}", "user_key": f"demo-{seed}"},
    }
