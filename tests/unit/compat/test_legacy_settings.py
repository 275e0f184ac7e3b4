import json
import logging
from pathlib import Path

import pytest

from ol0.compat.legacy_settings import PLACES, translate
from ol0.config import load_settings
from ol0.errors import ConfigError

# A file of the code that OL0 takes over from, with every key it has; the values differ from today's defaults.
SEEDS_FILE = {
    "online_learning": {
        "learning_rate": 1e-5,
        "ewc_lambda": 1000.0,
        "replay_weight": 0.5,
        "gradient_clip": 2.0,
        "update_frequency": 10,
        "safety_threshold": 0.8,
        "max_iterations_per_update": 5,
        "warmup_steps": 100,
        "patience": 5,
    },
    "streaming": dict.fromkeys(PLACES["streaming"], 1),
    "warmup": {"fisher_samples": 500, "canary_threshold": 0.85, **dict.fromkeys(PLACES["warmup"], 1)},
    "feedback_processing": dict.fromkeys(PLACES["feedback_processing"], 1),
    "replay_buffer": {
        "max_size": 9_000,
        "enable_prioritized_replay": True,
        "min_replay_size": 900,
        "alpha": 0.5,
        "beta": 0.3,
        "epsilon": 1e-6,
        "max_priority": 1.0,
    },
    "ewc_regularization": {"lambda_ewc": 7.0, "fisher_estimation_samples": 7, "diagonal_only": True},
    "canary_testing": dict.fromkeys(PLACES["canary_testing"], 1),
    "drift_monitoring": {
        "kl_warning_threshold": 0.04,
        "kl_critical_threshold": 0.09,
        "kl_emergency_threshold": 0.19,
        "window_size": 100,
    },
    "checkpointing": {"save_frequency": 100, "max_checkpoints": 4, "compression": True},
    "evaluation": {"target_soak_hours": 24.0, "target_improvement_percent": 2.0},
    "safety": {"enable_auto_rollback": True, "max_consecutive_failures": 5, "cooldown_period": 60},
    "logging": {"level": "WARNING", "file": "bem2_online_learning.log", "structured_logging": True},
    "monitoring": {"enable_metrics_export": True, "export_port": 8080, "health_check_port": 8081},
    "experimental": dict.fromkeys(PLACES["experimental"], 1),
}


def written(tmp_path: Path, tree: object) -> Path:
    path = tmp_path / "ol0.json"
    path.write_text(json.dumps(tree))
    return path


def test_what_means_something_here_is_taken(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, SEEDS_FILE))
    learning, safety = settings.online_learning, settings.safety
    assert (learning.learning_rate, learning.ewc_lambda, learning.gradient_clip) == (1e-5, 1000.0, 2.0)
    assert (learning.replay_size, learning.min_replay, learning.max_checkpoints) == (9_000, 900, 4)
    assert (learning.priority_alpha, learning.priority_beta) == (0.5, 0.3)
    assert (settings.warmup.fisher_samples, settings.warmup.canary_threshold) == (500, 0.85)
    assert (safety.kl_warning, safety.kl_critical, safety.kl_emergency) == (0.04, 0.09, 0.19)
    assert (safety.max_consecutive_failures, safety.cooldown_s) == (5, 60)
    assert settings.evaluation.target_improvement_percent == 2.0
    assert (settings.observability.log_level, settings.observability.port) == ("WARNING", 8080)


def test_what_means_nothing_here_is_named_in_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load_settings(written(tmp_path, SEEDS_FILE))
    (record,) = caplog.records
    message = record.getMessage()
    for name in ("online_learning.patience", "streaming.max_batch_size", "safety.enable_auto_rollback"):
        assert name in message
    for name in ("online_learning.learning_rate", "replay_buffer.max_size", "safety.cooldown_period"):
        assert name not in message


def test_todays_own_word_goes_over_the_seeds(tmp_path: Path) -> None:
    tree = {"replay_buffer": {"max_size": 9_000}, "online_learning": {"replay_size": 5_000}}
    assert load_settings(written(tmp_path, tree)).online_learning.replay_size == 5_000


def test_a_file_of_todays_words_gives_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load_settings(written(tmp_path, {"safety": {"cooldown_s": 60}, "warmup": {"fisher_samples": 10}}))
    assert not caplog.records


def test_a_key_that_the_settings_have_today_is_left_where_it_stands() -> None:
    tree = {"online_learning": {"patience": 5}, "replay_buffer": {"max_size": 9_000}}
    assert translate(tree, lambda section, _: section == "online_learning") == {
        "online_learning": {"patience": 5, "replay_size": 9_000}
    }


@pytest.mark.parametrize(
    "tree", [{"replay_buffer": {"max_sise": 9_000}}, {"safety": {"cooldown_perid": 60}}, {"experimental": {"new": 1}}]
)
def test_a_slip_of_the_pen_is_an_error_as_ever(tmp_path: Path, tree: object) -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        load_settings(written(tmp_path, tree))


def test_a_value_that_is_wrong_is_an_error_under_todays_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"online_learning\.replay_size: Input should be"):
        load_settings(written(tmp_path, {"replay_buffer": {"max_size": 0}}))


def test_every_place_is_a_setting_of_today() -> None:
    shown = load_settings(None).model_dump()
    for keys in PLACES.values():
        for place in filter(None, keys.values()):
            assert place[1] in shown[place[0]]
