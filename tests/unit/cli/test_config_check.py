import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from ol0.cli.config import shown
from ol0.cli.config_check import (
    DIFFERS,
    ENOUGH_DECISIONS,
    NOT_YET,
    WEAK,
    ask_servers,
    compare_holdback,
    missing,
    refuse_impossible,
)
from ol0.config import KafkaConfig, RedisConfig, SafetyConfig, ServingConfig, Settings, WarmupConfig, load_settings
from ol0.controller.suite import write_suite
from ol0.errors import ConfigError
from ol0.kafka import broker_probe
from ol0.records import Arm
from testbed.worlds import NEW, OLD, make_base, make_suite


def files(folder: Path, threshold: float) -> Settings:
    """Settings with a base and a suite that lie there."""
    base, suite = folder / "base.safetensors", folder / "suite.safetensors"
    base.write_bytes(make_base().heads)
    prompts = make_suite(kinds=(*OLD, *NEW))
    write_suite(suite, prompts.features, prompts.values, prompts.kinds)
    return Settings(
        serving=ServingConfig(base=base),
        safety=SafetyConfig(suite=suite),
        warmup=WarmupConfig(canary_threshold=threshold),
    )


def test_a_threshold_that_the_base_does_not_pass_is_told_with_what_it_passes(tmp_path: Path) -> None:
    refuse_impossible(files(tmp_path, 0.5))
    with pytest.raises(ConfigError, match=r"warmup\.canary_threshold 1\.0: the base scores 0\.\d+ on safety\.suite"):
        refuse_impossible(files(tmp_path, 1.0))


def test_a_base_that_is_damaged_is_a_wrong_setting(tmp_path: Path) -> None:
    settings = files(tmp_path, 0.5)
    (tmp_path / "base.safetensors").write_bytes(b"damaged")
    with pytest.raises(ConfigError, match=r"serving\.base .*base\.safetensors: "):
        refuse_impossible(settings)


@pytest.mark.parametrize("held_back", [0, 40, 160])
def test_a_holdback_that_is_not_what_hosts_assign_is_told(held_back: int) -> None:
    decisions = {Arm.LIVE: ENOUGH_DECISIONS - held_back, Arm.HOLDBACK: held_back}
    ((kind, text),) = compare_holdback(0.1, decisions)
    assert kind == "differs"
    assert f"serving.holdback is 0.1, but {held_back / ENOUGH_DECISIONS:.3f} of the 1,000 decisions" in text


def test_shares_that_scatter_and_few_decisions_say_nothing() -> None:
    assert list(compare_holdback(0.1, {Arm.LIVE: 880, Arm.HOLDBACK: 120})) == []
    assert list(compare_holdback(0.1, {Arm.LIVE: ENOUGH_DECISIONS - 1})) == []
    assert list(compare_holdback(0.0, {Arm.LIVE: ENOUGH_DECISIONS})) == []


@pytest.mark.parametrize(
    ("tree", "answer"),
    [
        ({"safety": {"stages": [{"share": 0.95}]}}, r"safety\.stages: a share of 0\.95 beside serving\.holdback 0\.1"),
        ({"kafka": {"options": {"security.protocl": "SSL"}}}, 'No such configuration property: "security.protocl"'),
        (
            {"kafka": {"partitions": {"decision": 2}}},
            r"kafka\.partitions\.decision = 2: at least 1, for one of decisions",
        ),
        ({"redis": {"url": "sentinel://a:26379"}}, r"redis\.url sentinel://a:26379: there is no scheme 'sentinel'"),
        ({"security": {"signing": {"drift": "/none.key"}}}, r"security\.signing\.drift: /none\.key: No such file"),
        ({"observability": {"port": 9000, "host": "192.0.2.1"}}, r"observability\.host 192\.0\.2\.1"),
        ({"observability": {"port": 65533}}, r"observability\.port 65533: 6 ports from there on end after 65535"),
    ],
)
def test_what_no_service_could_start_with_is_told_before_one_does(tmp_path: Path, tree: object, answer: str) -> None:
    path = tmp_path / "ol0.json"
    path.write_text(json.dumps(tree))
    with pytest.raises(ConfigError, match=answer):
        refuse_impossible(load_settings(path))


def test_servers_that_do_not_answer_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_probe, "FIRST_S", 0.2)
    away = Settings(
        kafka=KafkaConfig(bootstrap_servers="127.0.0.1:1"),
        redis=RedisConfig(url=SecretStr("redis+cluster://127.0.0.1:1")),
    )
    (broker_kind, broker), (store_kind, store) = ask_servers(away)
    assert broker_kind == store_kind == DIFFERS
    assert broker.startswith("no broker answers at kafka.bootstrap_servers: ")
    assert "redis.url points to a server that is up" in store


CANARY = "canary-in-the-mine"
SECRETS = (
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
)


def with_secrets(folder: Path) -> Path:
    """Settings with the same secret in every place that can hold one."""
    urls = {"sasl.oauthbearer.token.endpoint.url": f"https://ann:{CANARY}@127.0.0.1:1/"}
    tree = {
        "kafka": {"bootstrap_servers": "127.0.0.1:1", "options": dict.fromkeys(SECRETS, CANARY) | urls},
        "redis": {"url": f"rediss://ann:{CANARY}@127.0.0.1:1/0?ssl_password={CANARY}&sentinel_password={CANARY}"},
        "serving": {"arm_key": CANARY, "user_key": CANARY},
    }
    path = folder / "ol0.json"
    path.write_text(json.dumps(tree))
    return path


def test_no_secret_is_shown(tmp_path: Path) -> None:
    settings = load_settings(with_secrets(tmp_path))
    assert CANARY not in json.dumps(shown(settings)) + repr(settings) + str(settings)


def test_hosts_without_keys_and_keys_that_everybody_knows_are_told() -> None:
    serving = ServingConfig(user_key=SecretStr("ol0"))
    (arm,), (user,) = ([it for it in missing(Settings(serving=serving)) if key in it[1]] for key in ("arm_", "user_"))
    assert arm == (NOT_YET, "serving.arm_key is not set, and no host can start without it: `ol0 keys host` prints one")
    assert user[0] == WEAK
    assert user[1].startswith("serving.user_key is 'ol0', the default of earlier versions: it is public")


def test_what_is_shown_has_every_section() -> None:
    assert set(shown(Settings())) == set(Settings.model_fields)
