import json
from pathlib import Path

import pytest

from ol0.compat.legacy_profile import LEGACY_NUMBERS
from ol0.config import LONGEST_KEY_BYTES, HostKey, OnlineLearningConfig, ServingConfig, load_settings
from ol0.errors import ConfigError


def written(tmp_path: Path, text: str, name: str = "ol0.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_defaults_are_those_of_the_table_in_the_docs() -> None:
    settings = load_settings(None)
    assert settings.streaming.reward_window_s == 600
    assert settings.serving.epsilon == settings.serving.holdback == 0.1
    assert [stage.share for stage in settings.safety.stages] == [0.05, 0.25]


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    toml = written(tmp_path, '[kafka]\ntopic_prefix = "mine"\n')
    same = written(tmp_path, json.dumps({"kafka": {"topic_prefix": "mine"}}), "ol0.json")
    assert load_settings(toml) == load_settings(same)


def test_the_environment_goes_over_the_file_key_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, '[kafka]\ntopic_prefix = "mine"\nbootstrap_servers = "a:1"\n')
    monkeypatch.setenv("OL0_KAFKA__BOOTSTRAP_SERVERS", "b:2")
    settings = load_settings(path)
    assert settings.kafka.topic_prefix == "mine"
    assert settings.kafka.bootstrap_servers == "b:2"


def test_an_unknown_key_names_the_nearest_right_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"safety\.suite_margn: unknown key; did you mean safety\.suite_margin\?"):
        load_settings(written(tmp_path, "[safety]\nsuite_margn = 0.1\n"))


def test_a_setting_that_there_was_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"safety\.norm_critical: no setting any more: .* take it out"):
        load_settings(written(tmp_path, "[safety]\nnorm_critical = 3.0\n"))
    monkeypatch.setenv("OL0_SAFETY__NORM_CRITICAL", "3")
    with pytest.raises(ConfigError, match=r"OL0_SAFETY__NORM_CRITICAL: no setting any more: .* take it out"):
        load_settings(None)


def test_an_unknown_section_names_the_nearest_right_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kafak: unknown key; did you mean kafka"):
        load_settings(written(tmp_path, "[kafak]\n"))


def test_a_value_out_of_range_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"serving\.holdback"):
        load_settings(written(tmp_path, "[serving]\nholdback = 1.0\n"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        load_settings(tmp_path / "none.toml")


def test_malformed_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Expected ']'"):
        load_settings(written(tmp_path, "[kafka"))


@pytest.mark.parametrize("name", HostKey)
def test_a_key_that_is_not_set_is_refused_with_the_command_that_makes_one(name: HostKey) -> None:
    with pytest.raises(ConfigError, match=rf"serving\.{name} is not set: `ol0 keys host` prints one"):
        ServingConfig().key(name)


@pytest.mark.parametrize("key", ["", "k" * (LONGEST_KEY_BYTES + 1)])
def test_a_key_that_no_hash_takes_is_a_wrong_setting(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=r"serving\.user_key: Value error, a key has 1 to 64 bytes"):
        load_settings(written(tmp_path, f'[serving]\nuser_key = "{key}"\n'))


def test_a_key_comes_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OL0_SERVING__USER_KEY", "mine")
    serving = load_settings(None).serving
    assert (serving.key(HostKey.USER), serving.keys) == (b"mine", {HostKey.USER: "mine"})


def test_a_login_from_the_environment_joins_the_options_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, '[kafka.options]\n"security.protocol" = "SASL_SSL"\n"sasl.username" = "all"\n')
    monkeypatch.setenv("OL0_KAFKA__OPTIONS", '{"sasl.username": "drift", "sasl.password": "geheim"}')
    options = {"security.protocol": "SASL_SSL", "sasl.username": "drift", "sasl.password": "geheim"}
    assert load_settings(path).kafka.options == options


def test_variables_that_are_malformed_are_told_without_what_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OL0_KAFKA__OPTIONS", '{"sasl.password": "geheim"')
    with pytest.raises(ConfigError, match="environment") as refusal:
        load_settings(None)
    assert "geheim" not in str(refusal.value)


def test_a_value_of_the_wrong_type_is_told_without_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"kafka\.options") as refusal:
        load_settings(written(tmp_path, '[kafka.options]\nsasl.password = "geheim"\n'))  # without quotes: a table
    assert "geheim" not in str(refusal.value)


def test_secrets_print_masked(tmp_path: Path) -> None:
    path = written(tmp_path, '[redis]\nurl = "redis://:hidden@a"\n[kafka.options]\n"sasl.password" = "hidden"\n')
    assert "hidden" not in repr(load_settings(path))


@pytest.mark.parametrize(("holdback", "share"), [(0.1, 0.9), (0.2, 0.85)])
def test_a_stage_that_leaves_live_nothing_is_refused_before_anything_starts(
    tmp_path: Path, holdback: float, share: float
) -> None:
    tree = {"serving": {"holdback": holdback}, "safety": {"stages": [{"share": 0.05}, {"share": share}]}}
    with pytest.raises(ConfigError, match=rf"safety\.stages: a share of {share} .* leaves live nothing; keep it below"):
        load_settings(written(tmp_path, json.dumps(tree), "ol0.json"))


def test_a_stage_that_cannot_end_in_its_decisions_is_told_before_anything_starts(tmp_path: Path) -> None:
    tree = {"safety": {"max_stage": 5_000}}
    with pytest.raises(ConfigError, match=r"300 decisions .* are some 6000 of all arms, but max_stage ends .* 5000"):
        load_settings(written(tmp_path, json.dumps(tree), "ol0.json"))
    stages = [{"share": 0.05, "harm_only": True, "min_decisions": 200}, {"share": 0.25}]
    load_settings(written(tmp_path, json.dumps({"safety": {"max_stage": 5_000, "stages": stages}}), "ol0.json"))


# -- variables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("OL0_STREMING__REWARD_WINDOW_S", "OL0_STREAMING__REWARD_WINDOW_S"),
        ("OL0_STREAMING__REWARD_WINDW_S", "OL0_STREAMING__REWARD_WINDOW_S"),
        ("OL0_STREAMING_REWARD_WINDOW_S", "OL0_STREAMING__REWARD_WINDOW_S"),
        ("ol0_kafka__bootstrap_server", "OL0_KAFKA__BOOTSTRAP_SERVERS"),
        ("OL0_KAFKA__PARTITION__DECISIONS", "OL0_KAFKA__PARTITIONS"),
        ("OL0_KIL", "OL0_KILL"),
    ],
)
def test_a_variable_that_nobody_reads_names_the_nearest_that_is_read(
    monkeypatch: pytest.MonkeyPatch, name: str, nearest: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigError, match=rf"{name}: unknown variable; did you mean {nearest}\?"):
        load_settings(None)


def test_variables_that_are_read_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    right = {
        "ol0_streaming__reward_window_s": "30",
        "OL0_KAFKA": '{"topic_prefix": "shop"}',
        "OL0_KAFKA__PARTITIONS__DECISIONS": "8",
        "OL0_KILL": "1",
        "OL0_FEEDBACK_SERVICE_HOST": "10.0.0.1",
        "OL0_FEEDBACK_SERVICE_PORT_HTTP": "8080",
        "OL0_FEEDBACK_PORT": "tcp://10.0.0.1:8080",
        "OL0_FEEDBACK_PORT_8080_TCP_ADDR": "10.0.0.1",
    }
    for name, value in right.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(None)
    assert (settings.streaming.reward_window_s, settings.kafka.topic_prefix) == (30, "shop")
    assert settings.kafka.partitions == {"decisions": 8}


def test_a_variable_that_is_no_json_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OL0_KAFKA", "none")
    with pytest.raises(ConfigError, match='environment:\n  error parsing value for field "kafka"'):
        load_settings(None)


# -- profiles -----------------------------------------------------------------------------------------------------


def test_the_legacy_profile_brings_the_legacy_numbers_and_leaves_the_rest_ours() -> None:
    seed, ours = OnlineLearningConfig(profile="legacy"), OnlineLearningConfig()
    assert (seed.learning_rate, seed.ewc_lambda, seed.proximal_mu) == (1e-5, 1000, 0.05)
    assert {name: getattr(seed, name) for name in LEGACY_NUMBERS} == dict(LEGACY_NUMBERS)
    rest = set(OnlineLearningConfig.model_fields) - {*LEGACY_NUMBERS, "profile"}
    assert {name: getattr(seed, name) for name in rest} == {name: getattr(ours, name) for name in rest}


def test_a_number_that_is_given_goes_over_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, '[online_learning]\nprofile = "legacy"\newc_lambda = 7\n')
    monkeypatch.setenv("OL0_ONLINE_LEARNING__PROXIMAL_MU", "0.2")
    found = load_settings(path).online_learning
    assert (found.learning_rate, found.ewc_lambda, found.proximal_mu) == (1e-5, 7, 0.2)


def test_the_older_name_of_the_legacy_profile_is_taken_too(tmp_path: Path) -> None:
    path = written(tmp_path, '[online_learning]\nprofile = "seed"\n')
    assert load_settings(path).online_learning == OnlineLearningConfig(profile="legacy")


def test_the_environment_may_name_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OL0_ONLINE_LEARNING__PROFILE", "legacy")
    assert load_settings(None).online_learning == OnlineLearningConfig(profile="legacy")
    path = written(tmp_path, "[online_learning]\nlearning_rate = 0.02\n")
    assert load_settings(path).online_learning == OnlineLearningConfig(profile="legacy", learning_rate=0.02)


def test_another_profile_is_refused_with_the_names_of_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"online_learning\.profile: Input should be 'ol0' or 'legacy'"):
        load_settings(written(tmp_path, '[online_learning]\nprofile = "sed"\n'))
