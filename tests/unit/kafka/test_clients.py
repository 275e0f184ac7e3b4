import logging

import pytest

from ol0.config import KafkaConfig
from ol0.errors import ConfigError
from ol0.kafka.lineage import Lineage


def lineage(**options: str | float | bool) -> Lineage:
    return Lineage.of(KafkaConfig(bootstrap_servers="127.0.0.1:1", options=options))


def test_an_option_of_librdkafka_passes_through() -> None:
    clients = lineage(**{"linger.ms": 77}).clients
    assert clients._config({"linger.ms": 5}, {}) == {"bootstrap.servers": "127.0.0.1:1", "linger.ms": 77}


@pytest.mark.parametrize(("option", "value"), [("enable.idempotence", "false"), ("acks", "1")])
def test_an_option_that_takes_a_producers_guarantee_away_is_refused(option: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"kafka\.options\.{option} = .* take it out"):
        lineage(**{option: value}).clients.producer()


@pytest.mark.parametrize(("option", "value"), [("enable.auto.commit", "true"), ("isolation.level", "read_uncommitted")])
def test_an_option_that_takes_a_consumers_guarantee_away_is_refused(option: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"kafka\.options\.{option} = .* take it out"):
        lineage(**{option: value}).clients.assigned_consumer("x")


def test_an_option_that_says_the_same_as_a_guarantee_is_fine() -> None:
    lineage(**{"enable.idempotence": "True", "acks": "all"}).clients.producer()


def test_nothing_here_needs_a_broker_to_be_made() -> None:
    clients = lineage().clients
    clients.transactional_producer("drift", clients.log_error)
    clients.group_consumer("feedback", "1").close()
    clients.admin()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"security.protocl": "SSL"}, 'No such configuration property: "security.protocl"'),
        ({"security.protocol": "SLS"}, 'Invalid value "SLS" for configuration property "security.protocol"'),
        ({"security.protocol": "SSL", "ssl.ca.location": "/none"}, r"ssl\.ca\.location failed"),
        ({"stats_cb": "my.module:function"}, "expected stats_cb .* take it out"),
        ({"throttle_cb": "my.module:function"}, "expected throttle_cb .* take it out"),
        ({"default.topic.config": "x"}, "take it out"),
        (
            {"sasl.mechanisms": "OAUTHBEARER", "oauth_cb": "my.module:function"},
            "method.* = .*oidc.*cannot hold a funct",
        ),
        ({"sasl.mechanisms": "OAUTHBEARER"}, "method.* = .*oidc"),
        ({"group.protocol": "consumer"}, r"group\.protocol = 'consumer': .* take it out"),
    ],
)
def test_options_with_which_a_client_cannot_be_made_are_a_wrong_setting(options: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"kafka\.options.*{reason}"):
        lineage(**options).clients.check()


def test_what_every_client_takes_is_right() -> None:
    lineage(**{"client.rack": "a", "socket.nagle.disable": "true"}).clients.check()


@pytest.mark.parametrize("secret", ["sasl.password", "ssl.key.password", "sasl.oauthbearer.client.secret"])
def test_no_client_tells_a_secret_whatever_it_logs(
    secret: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    login = {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "ann", "sasl.password": "x"}
    clients = lineage(**{**login, secret: "geheim", "debug": "all"}).clients
    clients.producer().flush(0.2)
    clients.assigned_consumer("x").close()
    clients.check()
    assert "sasl.username" in caplog.text, "it does tell its settings"
    assert "geheim" not in caplog.text + "".join(capfd.readouterr())


def test_a_secret_that_librdkafka_repeats_is_masked() -> None:
    with pytest.raises(ConfigError, match=r'Invalid value "\*+"') as refusal:
        lineage(**{"debug": "geheim", "sasl.password": "geheim"}).clients.check()
    assert "geheim" not in str(refusal.value)
