"""File, environment and flags, in one typed tree.

One TOML or JSON file with the sections below; ``OL0_SECTION__KEY`` in the environment goes over it, flags over that.
Files with legacy keys are taken too: see ``compat.legacy_settings``.
Times in the names: ``_s`` seconds, ``_ms`` milliseconds. An unknown key, or a variable with this prefix that is no
setting, is an error that names the nearest right one.
"""

import difflib
import json
import os
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ol0.compat.legacy_profile import LEGACY_NUMBERS
from ol0.compat.legacy_settings import translate
from ol0.environment import check_environment
from ol0.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
LONGEST_KEY_BYTES: Final = 64
"""What BLAKE2b takes."""
FORMER_KEY: Final = "ol0"
"""What both keys of hosts were where none was set."""
KNOWN_KEY: Final = (
    "it is public, so who reads a topic can find the user of a pseudonym by trying names, and who chooses a "
    "session's name can choose its arm; another one ends both, and users from before can no longer be forgotten by name"
)
REMOVED: Final = {
    "safety.norm_critical": "drift judges by answers now; take it out, and see safety.changed_critical, "
    "safety.lost_critical and safety.loudness_critical",
}
"""Settings that there were, and what to do about each."""


class Section(BaseModel):
    """A part of the tree: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OnlineLearningConfig(Section):
    """Every number of the learner. Start values were found by search on seeds 10-14 of the demo data."""

    profile: Literal["ol0", "legacy"] = Field(
        "ol0", description="where numbers that are not given come from: here, or the code that OL0 takes over from"
    )
    learner: Literal["values", "gradient"] = Field(
        "values", description="refits what every choice is worth; or raises the expected reward step by step"
    )
    learning_rate: Positive = Field(0.02, description="Adam step on the learnt heads")
    gain_weight: NotNegative = Field(3.0, description="c: weight of the doubly robust gain")
    importance_clip: Positive = Field(5.0, description="M: largest importance weight 1/p")
    reward_learning_rate: Positive = Field(0.01, description="Adam step on the reward model")
    kl_weight: NotNegative = Field(1.0, description="anchors: KL(base || learnt)")
    ewc_lambda: NotNegative = Field(0.3, description="elastic weight consolidation, centre always the base")
    proximal_mu: NotNegative = Field(0.0005, description="pull towards the moving average of the heads")
    anchor_weight: NotNegative = Field(1.0, description="weight of anchor rewards against live ones")
    batch_size: Count = 128
    anchor_share: Share = Field(0.5, description="share of anchors in a batch")
    steps_per_update: Count = 8
    examples_per_update: Count = 32
    gradient_clip: Positive = Field(1.0, description="norm of the gradient")
    ema_decay: Share = Field(0.9, description="what ships is this moving average of the heads")
    trust_region: Positive = Field(1.0, description="mean KL(live || new) on a batch; heads outside are pulled back")
    mixer_learning_rate: Positive = 0.02
    mixer_l2: NotNegative = 1e-3
    regret_budget: NotNegative = Field(0.4, description="points of calibrated regret on anchors")
    calibration_share: Share = Field(0.4, description="anchors kept back to calibrate the mixer")
    evidence_errors: NotNegative = Field(
        3.0,
        description="standard errors by which live traffic must be new and its votes predictable, or other answers "
        "worth more than the base's, for any change; "
        "0 disables the check",
    )
    engine: Literal["auto", "numpy", "torch"] = Field(
        "auto",
        description="what trains the hidden layers of a base that lets them be tuned (values): torch, which auto "
        "takes; or numpy, which leaves them as they are",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where torch trains; auto: cuda if there is one")
    tuning_rate: Positive = Field(1e-3, description="Adam step on hidden layers")
    tuning_steps: Count = Field(200, description="steps on hidden layers before each refit")
    lead_errors: NotNegative = Field(
        1.0,
        description="standard errors by which a candidate is expected to be worth more than what serves before it is "
        "offered, and less the longer none is on trial (values)",
    )
    replay_size: Count = 10_000
    anchors: Count = 2_000
    min_replay: Count = Field(1_000, description="examples before the first candidate")
    priority_alpha: Share = 0.6
    priority_beta: Share = Field(0.4, description="importance exponent at first; it grows to 1")
    priority_beta_examples: Count = Field(16_000, description="examples until it is 1")
    priority_epsilon: Positive = 1e-3
    user_cap: Share = Field(0.05, description="largest share of one user in a batch, an even one at least")
    trust_floor: Share = Field(0.2, description="what a vote counts for at least, of a user who contradicts all others")
    max_age_s: Positive | None = Field(
        None,
        description="largest age of an example, in event time since its window closed; none: no limit",
    )
    max_checkpoints: Count = Field(10, description="releases whose learner snapshot is kept for a rollback")

    @model_validator(mode="before")
    @classmethod
    def _start_from_the_profile(cls, given: object) -> object:
        """A number that is given goes over the profile's. ``seed`` is the older name of the legacy profile."""
        if isinstance(given, Mapping) and given.get("profile") in ("legacy", "seed"):
            return dict(LEGACY_NUMBERS) | dict(given) | {"profile": "legacy"}
        return given


class StreamingConfig(Section):
    """The join of decisions and feedback, and the consume loops."""

    reward_window_s: Positive = Field(600.0, description="from the decision until its outcome is made")
    allowed_lateness_s: NotNegative = Field(60.0, description="how far a partition may run out of order")
    early_skew_s: NotNegative = Field(1.0, description="how much earlier than its decision feedback may claim to be")
    max_open: Count | None = Field(
        None,
        description="open windows; beyond it decisions wait in Kafka; none: as many as fit, 200,000 at most",
    )
    batch_size: Count = Field(500, description="records per poll")
    batch_wait_s: Positive = Field(0.2, description="longest wait for a batch to fill")
    commit_interval_s: Positive = Field(
        2.0, description="of the Kafka services: longest wait for a snapshot; so much is handled again after a restart"
    )
    tick_interval_s: Positive = Field(1.0, description="silence after which the owner of a partition writes a tick")
    clock: Literal["wall", "ticks"] = Field("wall", description="ticks: only the soak harness writes time")
    missing_reward: Share | None = Field(
        None, description="reward for a decision without feedback; none: no example is made"
    )
    reward_weights: Mapping[str, float] = Field(
        default_factory=lambda: {"thumb": 1.0, "rating": 1.0, "correction": 2.0, "tool": 1.0, "implicit": 0.5},
    )
    min_confidence: Share = Field(0.0, description="implicit signs of less strength count for nothing")
    user_rate_limit: Count | None = Field(
        None, description="examples that one user may make in an hour of event time; none: any number"
    )
    bad_record_share: Share = Field(0.2, description="of a topic's last 1,000 records; above it an error is logged")


class WarmupConfig(Section):
    """How a base comes in."""

    canary_threshold: Share = Field(
        0.9, description="what the base must be worth on the suite, of what the best answers are"
    )
    calibration: Path | None = Field(None, description="logged decisions of an AR1 policy (.npz); see ar1/calibration")
    suite_share: Share = Field(0.25, description="of the calibration rows, held back for the canary suite")
    fisher_samples: Count = Field(1_000, description="calibration rows from which the Fisher information is estimated")


class StageConfig(Section):
    """One stage of a trial: a share of the traffic."""

    share: Annotated[float, Field(gt=0, lt=1)]
    harm_only: bool = Field(default=False, description="moves on when no harm was seen after min_decisions")
    min_decisions: int = Field(
        225, description="of the candidate's own, in complete sessions, before any approval; at 25 % some 900 of all"
    )


class SafetyConfig(Section):
    """What the gates hold a candidate against."""

    suite: Path | None = Field(None, description="trusted prompts, with the value of every choice (safetensors)")
    suite_pass: Share = Field(0.9, description="of what the base's answers are worth, the share that must be kept")
    suite_margin: Share = Field(
        0.02,
        description="loss against base and parent that the suite must rule out, of what the best answers are worth",
    )
    critical_confidence: Share = Field(
        0.9, description="base probability above which a well answered prompt is critical"
    )
    critical_share: Share = Field(0.25, description="of the suite, the largest share that is critical: the surest")
    # A gain of 16 points is shown after some 110 decisions, in which a backdoor is not always seen (ADR 23).
    stages: tuple[StageConfig, ...] = (
        StageConfig(share=0.05, harm_only=True, min_decisions=300),
        StageConfig(share=0.25),
    )
    stage_margin: Share = Field(0.02, description="loss on live traffic that approval must rule out")
    group_margin: Share = Field(0.10, description="harm to one group that stops a candidate")
    alpha: Share = Field(0.05, description="error rate, spent over the candidates since the last release")
    max_stage: Count = Field(20_000, description="decisions of all arms after which an undecided candidate is rejected")
    max_stage_s: Positive = Field(
        604_800.0, description="event time after which it is too: a week, in which every kind of day has been"
    )
    rate_tolerance: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="share by which votes per decision and decisions per session may differ between arms"
    )
    session_gap_s: Positive = Field(60.0, description="silence after which a session is complete")
    kl_warning: Positive = 0.05
    kl_critical: Positive = 0.1
    kl_emergency: Positive = 0.2
    changed_critical: Share = Field(
        0.5, description="share of the suite's greedy answers that may change for the worse"
    )
    lost_critical: Share = Field(0.05, description="of what the suite's best answers are worth, how much may be lost")
    loudness_critical: Share = Field(
        0.75, description="share of the base's doubt that learnt heads may have lost where no prompt lies"
    )
    lift_warning: Positive = Field(0.02, description="loss of the lift since the release")
    lift_critical: Positive = 0.05
    lift_emergency: Positive = 0.1
    cooldown_s: NotNegative = 1_800.0
    max_consecutive_failures: Count = 3

    @model_validator(mode="after")
    def _lets_every_stage_end(self) -> Self:
        """A stage that needs more decisions than it is given would reject every candidate as undecided."""
        for stage in self.stages:
            needed = round(stage.min_decisions / stage.share)
            if needed > self.max_stage:
                raise ValueError(
                    f"stages: {stage.min_decisions} decisions of the candidate's own at a share of {stage.share} are "
                    f"some {needed} of all arms, but max_stage ends a stage after {self.max_stage}; make min_decisions "
                    "smaller or max_stage larger"
                )
        return self


class EvaluationConfig(Section):
    """When the lift counts as proven."""

    target_improvement_percent: float = 1.0
    confidence: Share = 0.95


class KafkaConfig(Section):
    """Where the log is. ``options`` passes any librdkafka option through."""

    bootstrap_servers: str = "localhost:9092"
    topic_prefix: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")] = "ol0"
    partitions: Mapping[str, int] = Field(default_factory=dict, description="overrides topics.toml, by topic")
    replication: Count = 1
    options: Mapping[str, str | int | float | bool] = Field(default_factory=dict, repr=False)  # passwords, too


class StoreRisk(StrEnum):
    """What a server may lack that the replay store asks for; what each costs: see ``replay/server_checks.py``."""

    NO_APPEND_ONLY_FILE = "no_append_only_file"
    NO_MEMORY_LIMIT = "no_memory_limit"


class RedisConfig(Section):
    """Where the replay store is. The key prefix is the topic prefix."""

    url: SecretStr = Field(
        SecretStr("redis://localhost:6379/0"),
        description="redis, redis+cluster or redis+sentinel; rediss for TLS; unix",
    )
    socket_timeout_s: Positive = 5.0
    accept: tuple[StoreRisk, ...] = Field(
        (), description="what the server lacks and cannot be given; the log of every start says what that costs"
    )


class HostKey(StrEnum):
    """The secrets of hosts, as the settings call them."""

    ARM = "arm_key"
    USER = "user_key"


class ServingConfig(Section):
    """What the SDK needs."""

    base: Path | None = Field(None, description="checkpoint of the base: what serves when nothing else can")
    epsilon: Share = Field(0.1, description="exploration, the same in every arm")
    holdback: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="share of sessions that the base serves")
    arm_key: SecretStr | None = Field(
        None, description="secret key of the hash that picks arms, the same in every host (`ol0 keys host`)"
    )
    user_key: SecretStr | None = Field(
        None, description="secret key of the hash that makes pseudonyms, the same in every host and for `ol0 forget`"
    )

    @field_validator("arm_key", "user_key")
    @classmethod
    def _is_a_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not 1 <= len(key.get_secret_value().encode()) <= LONGEST_KEY_BYTES:
            raise ValueError(f"a key has 1 to {LONGEST_KEY_BYTES} bytes; `ol0 keys host` prints a good one")
        return key

    @property
    def keys(self) -> Mapping[HostKey, str]:
        """Those that are set."""
        secrets = {HostKey.ARM: self.arm_key, HostKey.USER: self.user_key}
        return {name: secret.get_secret_value() for name, secret in secrets.items() if secret is not None}

    def key(self, name: HostKey) -> bytes:
        """A key that is set.

        Raises:
            ConfigError: it is not; says what makes one.
        """
        if name not in self.keys:
            raise ConfigError(
                f"serving.{name} is not set: `ol0 keys host` prints one to paste into the settings of every host, and "
                f"of who runs `ol0 forget`. A lineage whose pseudonyms were made before there was no default sets "
                f'{name} = "{FORMER_KEY}", which is public (docs/operating.md)'
            )
        return self.keys[name].encode()


class Signer(StrEnum):
    """Who signs: the learner its candidates, each gate its verdicts."""

    LEARNER = "learner"
    CANARY = "canary"
    DRIFT = "drift"


class SecurityConfig(Section):
    """Who may speak for the learner and for the gates. Without trusted keys, no signature is required."""

    signing: Mapping[Signer, Path] = Field(
        default_factory=dict, description="private key files (`ol0 keys new`); a service needs its own alone"
    )
    trusted: Mapping[Signer, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        default_factory=dict, description="public keys whose signature is believed; several while keys change"
    )

    @field_validator("signing", mode="before")
    @classmethod
    def _names_files(cls, value: object) -> object:
        """A key in this place would be printed by ``ol0 config show``."""
        if isinstance(value, Mapping) and any("PRIVATE KEY" in str(path) for path in value.values()):
            raise ValueError("contains a private key; give the path of the key file instead")
        return value

    @model_validator(mode="after")
    def _trusts_all_or_none(self) -> Self:
        """Verdicts that anybody can write make signed candidates worthless, and the other way round."""
        if self.trusted and (missing := set(Signer) - set(self.trusted)):
            names = " and ".join(sorted(missing))
            raise ValueError(f"trusted keys for {names} are missing: with one of them, all three have to be known")
        return self


class ObservabilityConfig(Section):
    """Logs and metrics."""

    port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        0, description="/metrics /livez /readyz; 0: none; `ol0 run`: the first of six"
    )
    host: str = "127.0.0.1"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class Settings(BaseSettings):
    """The whole tree of one lineage."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="OL0_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    # A factory: the numbers of a default instance would count as given, and override a profile's.
    online_learning: OnlineLearningConfig = Field(default_factory=OnlineLearningConfig)
    streaming: StreamingConfig = StreamingConfig()
    warmup: WarmupConfig = WarmupConfig()
    safety: SafetyConfig = SafetyConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    kafka: KafkaConfig = KafkaConfig()
    redis: RedisConfig = RedisConfig()
    serving: ServingConfig = ServingConfig()
    security: SecurityConfig = SecurityConfig()
    observability: ObservabilityConfig = ObservabilityConfig()

    @model_validator(mode="after")
    def _leaves_sessions_to_live(self) -> Self:
        """Every stage is held against what serves."""
        room = 1 - self.serving.holdback
        for stage in self.safety.stages:
            if stage.share >= room:
                raise ValueError(
                    f"safety.stages: a share of {stage.share} beside serving.holdback {self.serving.holdback} leaves "
                    f"live nothing; keep it below {room:.2f}"
                )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - signature of pydantic-settings
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - same
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes over the file, which comes in as init settings."""
        return env_settings, init_settings


def load_settings(path: Path | None) -> Settings:
    """Reads a TOML or JSON file (by its ending), then the environment.

    Raises:
        ConfigError: the file is missing or malformed, or a key, a value or a variable is wrong; says which and what is
            right.
    """
    return settings_of({} if path is None else translate(_read(path), _is_key), str(path or "environment"))


def settings_of(values: Mapping[str, object], source: str) -> Settings:
    """The tree of these values, which are from ``source``, and the environment over them. Raises ConfigError."""
    check_environment(Settings, os.environ, REMOVED)
    try:
        return Settings.model_validate({}) if not values else Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = "\n".join(
            f"  {_explain(problem['loc'], problem['type'], problem['msg'])}" for problem in error.errors()
        )
        raise ConfigError(f"{source}:\n{lines}") from None


def _read(path: Path) -> dict[str, object]:
    try:
        text = path.read_text(encoding="utf-8")
        return dict(json.loads(text) if path.suffix == ".json" else tomllib.loads(text))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name a TOML or JSON file with --config") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None


def _is_key(section: str, key: str) -> bool:
    """Whether the tree has this key."""
    field = Settings.model_fields.get(section)
    model = None if field is None else field.annotation
    return isinstance(model, type) and issubclass(model, BaseModel) and key in model.model_fields


def _explain(location: tuple[int | str, ...], kind: str, message: str) -> str:
    """One problem in words; for an unknown key, the nearest right one."""
    name = ".".join(map(str, location))
    if not location:  # of settings that do not fit each other, or of a variable that is no JSON
        return message.removeprefix("Value error, ")
    if kind != "extra_forbidden":
        return f"{name}: {message}"
    if name in REMOVED:
        return f"{name}: no setting any more: {REMOVED[name]}"
    model: type[BaseModel] = Settings
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            break
        model = field.annotation
    nearest = difflib.get_close_matches(str(location[-1]), model.model_fields, n=1, cutoff=0)
    return f"{name}: unknown key; did you mean {'.'.join([*map(str, location[:-1]), *nearest])}?"
