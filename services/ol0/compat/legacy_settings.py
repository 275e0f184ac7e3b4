"""The configuration file of the code that OL0 takes over from: its keys, and what they are called here.

A key that means the same here is taken under its own name; one that says it in another place moves there, unless the
file says it there as well; the others are named in one warning. Only keys of that file are forgiven: a slip of the pen
is an error as ever.
"""

import logging
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Final

Tree = dict[str, object]

NOT_HERE: Final = None

PLACES: Final[Mapping[str, Mapping[str, tuple[str, str] | None]]] = {
    "online_learning": dict.fromkeys(
        (
            "replay_weight",
            "update_frequency",
            "safety_threshold",
            "max_iterations_per_update",
            "warmup_steps",
            "patience",
        )
    ),
    "streaming": dict.fromkeys(
        (
            "max_queue_size",
            "batch_timeout",
            "quality_threshold",
            "max_batch_size",
            "signal_types",
            "enable_filtering",
            "deduplication_window",
        )
    ),
    "warmup": dict.fromkeys(("safety_margin", "max_warmup_time", "validate_safety", "establish_baselines")),
    "feedback_processing": dict.fromkeys(
        (
            "strategy",
            "batch_size",
            "aggregation_window",
            "quality_filter_threshold",
            "enable_session_tracking",
            "session_timeout",
            "weighting_scheme",
        )
    ),
    "replay_buffer": {
        "max_size": ("online_learning", "replay_size"),
        "min_replay_size": ("online_learning", "min_replay"),
        "alpha": ("online_learning", "priority_alpha"),
        "beta": ("online_learning", "priority_beta"),
        "enable_prioritized_replay": NOT_HERE,
        "epsilon": NOT_HERE,
        "max_priority": NOT_HERE,
    },
    "ewc_regularization": {
        "lambda_ewc": ("online_learning", "ewc_lambda"),
        "fisher_estimation_samples": ("warmup", "fisher_samples"),
        "diagonal_only": NOT_HERE,
        "update_fisher_frequency": NOT_HERE,
        "fisher_ema_decay": NOT_HERE,
    },
    "canary_testing": dict.fromkeys(
        (
            "test_types",
            "performance_threshold",
            "coherence_threshold",
            "memory_threshold",
            "drift_threshold",
            "min_test_samples",
            "early_stopping",
            "timeout_seconds",
        )
    ),
    "drift_monitoring": {
        "kl_warning_threshold": ("safety", "kl_warning"),
        "kl_critical_threshold": ("safety", "kl_critical"),
        "kl_emergency_threshold": ("safety", "kl_emergency"),
        "param_norm_warning_threshold": NOT_HERE,
        "param_norm_critical_threshold": NOT_HERE,  # weights say little of what people are answered
        "gradient_norm_threshold": NOT_HERE,
        "window_size": NOT_HERE,
        "check_frequency": NOT_HERE,
    },
    "checkpointing": {
        "max_checkpoints": ("online_learning", "max_checkpoints"),
        "save_frequency": NOT_HERE,
        "compression": NOT_HERE,
        "verify_integrity": NOT_HERE,
        "backup_on_rollback": NOT_HERE,
    },
    "evaluation": dict.fromkeys(
        (
            "target_soak_hours",
            "performance_window_size",
            "report_frequency",
            "metrics_history_limit",
            "enable_continuous_monitoring",
        )
    ),
    "safety": {
        "cooldown_period": ("safety", "cooldown_s"),
        "enable_auto_rollback": NOT_HERE,
        "rollback_conditions": NOT_HERE,
        "emergency_stop_threshold": NOT_HERE,
    },
    "logging": {
        "level": ("observability", "log_level"),
        **dict.fromkeys(("file", "max_file_size", "backup_count", "console_output", "structured_logging")),
    },
    "monitoring": {
        "export_port": ("observability", "port"),
        **dict.fromkeys(("enable_metrics_export", "export_format", "health_check_port", "alert_thresholds")),
    },
    "experimental": dict.fromkeys(
        (
            "enable_trust_region",
            "trust_region_radius",
            "adaptive_learning_rate",
            "multi_objective_optimization",
            "federated_learning",
        )
    ),
}


def translate(tree: Mapping[str, object], is_ours: Callable[[str, str], bool]) -> Tree:
    """The tree in today's words; warns once of what has no meaning here.

    Args:
        tree: sections with their keys, as the file has them.
        is_ours: whether a section has this key today: then it is left alone.
    """
    translated: Tree = deepcopy(dict(tree))
    unused = []
    for section, places in PLACES.items():
        keys = translated.get(section)
        if not isinstance(keys, dict):
            continue
        for key in [key for key in keys if key in places and not is_ours(section, key)]:
            value, place = keys.pop(key), places[key]
            if place is None:
                unused.append(f"{section}.{key}")
                continue
            there = translated.setdefault(place[0], {})
            if isinstance(there, dict):
                there.setdefault(place[1], value)
        if not keys and tree[section]:
            del translated[section]
    if unused:
        logging.getLogger("ol0.config").warning("these settings have no meaning here: %s", ", ".join(unused))
    return translated
