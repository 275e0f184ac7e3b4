import os
import signal
from collections.abc import Callable, Iterator

import pytest

from ol0.config import KafkaConfig
from ol0.errors import StreamError
from ol0.kafka.broker_probe import broker_probe, count_brokers
from ol0.kafka.lineage import Lineage
from ol0.stacks.native import NativeStack
from testbed.waiting import wait_until


@pytest.fixture
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeStack]:
    """Its broker is stopped: one that loses its controller for a while leaves requests of others unanswered."""
    with NativeStack(tmp_path_factory.mktemp("own")) as running:
        yield running


def answers(ask: Callable[[], None]) -> bool:
    try:
        ask()
    except StreamError:
        return False
    return True


def test_a_broker_that_stands_still_does_not_answer_and_one_that_goes_on_does(own_stack: NativeStack) -> None:
    clients = Lineage.of(KafkaConfig(bootstrap_servers=own_stack.bootstrap_servers)).clients
    assert count_brokers(clients) == 1
    ask = broker_probe(clients)
    assert answers(ask)

    os.kill(own_stack.brokers[0].pid, signal.SIGSTOP)
    try:
        wait_until(lambda: not answers(ask), 10)
    finally:
        os.kill(own_stack.brokers[0].pid, signal.SIGCONT)

    wait_until(lambda: answers(ask), 10)
