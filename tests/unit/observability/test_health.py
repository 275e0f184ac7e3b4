import socket
import urllib.request
from collections.abc import Iterator
from urllib.error import HTTPError

import pytest

from ol0.config import ObservabilityConfig
from ol0.errors import ConfigError, StreamError
from ol0.observability.health import FRESH_S, STALE_S, Heartbeat, Readiness, check_ports, serve_health
from ol0.stacks.ports import LOOPBACK, free_ports


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Broker:
    """What a probe asks: up or down, and how often it was asked."""

    is_up, asked = True, 0

    def __call__(self) -> None:
        self.asked += 1
        if not self.is_up:
            raise StreamError("no broker answers")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield listener.getsockname()[1]


def answer(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", timeout=5) as reply:
            return reply.status, reply.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_ready_means_that_the_loop_comes_round_and_that_what_it_needs_answers() -> None:
    clock, broker = Clock(), Broker()
    heartbeat = Heartbeat(clock)
    readiness = Readiness(heartbeat, [broker], clock)
    assert readiness.obstacle == "the loop has not completed a round"

    heartbeat.beat()
    assert readiness.obstacle == ""

    broker.is_up = False
    clock.now_s += FRESH_S
    assert readiness.obstacle == "no broker answers"
    assert heartbeat.alive, "a restart would not help"

    broker.is_up = True
    clock.now_s += FRESH_S
    assert readiness.obstacle == ""

    clock.now_s += STALE_S
    assert readiness.obstacle == "the loop has not completed a round within 60 s"
    assert not heartbeat.alive


def test_everything_that_does_not_answer_is_named() -> None:
    clock, broker, store = Clock(), Broker(), Broker()
    broker.is_up = store.is_up = False
    heartbeat = Heartbeat(clock)
    heartbeat.beat()
    assert Readiness(heartbeat, [broker, store], clock).obstacle == "no broker answers; no broker answers"


def test_many_who_ask_cost_one_question() -> None:
    clock, broker = Clock(), Broker()
    heartbeat = Heartbeat(clock)
    heartbeat.beat()
    readiness = Readiness(heartbeat, [broker], clock)
    assert [readiness.obstacle for _ in range(10)] == [""] * 10
    assert broker.asked == 1


def test_the_addresses_say_what_is_the_matter() -> None:
    (port,) = free_ports(1)
    broker, heartbeat = Broker(), Heartbeat()
    broker.is_up = False
    with serve_health(ObservabilityConfig(port=port), heartbeat, [broker]):
        assert answer(port, "/livez") == (200, "yes\n")
        assert answer(port, "/readyz") == (503, "no: the loop has not completed a round\n")
        heartbeat.beat()
        assert answer(port, "/readyz") == (503, "no: no broker answers\n")
        assert "ol0_ready 0.0" in answer(port, "/metrics")[1]
        assert answer(port, "/healthz")[0] == 404


def test_a_port_that_is_taken_is_a_wrong_setting(taken_port: int) -> None:
    taken = rf"observability\.port {taken_port}: Address already in use"
    with pytest.raises(ConfigError, match=taken), serve_health(ObservabilityConfig(port=taken_port), Heartbeat()):
        pass
    with pytest.raises(ConfigError, match=r"observability\.port \d+: Address already in use"):
        check_ports(ObservabilityConfig(port=taken_port - 3), 6)


def test_a_host_that_is_not_this_machine_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match=r"observability\.host 192\.0\.2\.1, .*Cannot assign requested address"):
        check_ports(ObservabilityConfig(port=free_ports(1)[0], host="192.0.2.1"), 1)
    with pytest.raises(ConfigError, match=r"observability\.host no\.such\.host\.invalid"):
        check_ports(ObservabilityConfig(port=free_ports(1)[0], host="no.such.host.invalid"), 1)


def test_six_ports_end_where_ports_end() -> None:
    with pytest.raises(ConfigError, match=r"observability\.port 65531: 6 ports from there on end after 65535"):
        check_ports(ObservabilityConfig(port=65_531), 6)


def test_without_a_port_nothing_is_looked_at() -> None:
    check_ports(ObservabilityConfig(host="no.such.host.invalid"), 6)
