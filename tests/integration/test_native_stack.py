import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ol0.errors import StackError
from ol0.stacks.jars import kafka_jars
from ol0.stacks.native import NativeStack
from ol0.stacks.stack import Stack
from testbed.restarts import restart_kafka, restart_redis
from testbed.waiting import is_alive, wait_until

TIMEOUT_S = 30.0

OWNER = """
import sys
from pathlib import Path
from ol0.stacks.native import NativeStack
stack = NativeStack(Path(sys.argv[1]))
stack.start()
print(stack.brokers[0].pid, stack.valkey.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeStack]:
    """One that these tests may hurt; each leaves it running."""
    with NativeStack(tmp_path_factory.mktemp("own")) as running:
        yield running


def create_topic(stack: Stack) -> str:
    topic = f"test-{uuid.uuid4()}"
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(TIMEOUT_S)
    return topic


def produce(stack: Stack, topic: str, value: bytes) -> None:
    delivered: list[bool] = []
    options = {"bootstrap.servers": stack.bootstrap_servers, "message.max.bytes": 9_000_000}
    producer = Producer(options)
    producer.produce(topic, value, on_delivery=lambda error, _message: delivered.append(error is None))
    assert producer.flush(TIMEOUT_S) == 0
    assert delivered == [True]


def consume(stack: Stack, topic: str) -> bytes | None:
    consumer = Consumer(
        {
            "bootstrap.servers": stack.bootstrap_servers,
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 1000,
            "heartbeat.interval.ms": 300,
        }
    )
    try:
        consumer.subscribe([topic])
        messages: list[Message] = consumer.consume(1, TIMEOUT_S)
        assert messages, "nothing came"
        assert messages[0].error() is None
        return messages[0].value()
    finally:
        consumer.close()


def store_at(stack: Stack) -> redis.Redis:
    return redis.Redis.from_url(stack.redis_url)


def test_a_topic_can_be_made_and_a_record_goes_through_as_soon_as_the_stack_has_started(tmp_path: Path) -> None:
    with NativeStack(tmp_path) as stack:
        topic = create_topic(stack)
        produce(stack, topic, b"one")
        assert consume(stack, topic) == b"one"


def test_the_shared_stack_is_a_stack(stack: Stack) -> None:
    topic = create_topic(stack)
    produce(stack, topic, b"one")
    assert consume(stack, topic) == b"one"


def test_a_record_of_eight_megabytes_goes_through(own_stack: NativeStack) -> None:
    topic, value = create_topic(own_stack), os.urandom(8_000_000)
    produce(own_stack, topic, value)
    assert consume(own_stack, topic) == value


def test_a_topic_that_nobody_made_is_not_made(own_stack: NativeStack) -> None:
    delivered: list[bool] = []
    producer = Producer({"bootstrap.servers": own_stack.bootstrap_servers, "message.timeout.ms": 3000})
    producer.produce("misspelt", b"one", on_delivery=lambda error, _message: delivered.append(error is None))
    producer.flush(TIMEOUT_S)
    assert delivered == [False]


def test_the_store_keeps_an_append_only_file_and_never_evicts(own_stack: NativeStack) -> None:
    with store_at(own_stack) as store:
        config = store.config_get("appendonly", "appendfsync", "maxmemory", "maxmemory-policy", "save")
    assert config == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory": str(1024**3),
        "maxmemory-policy": "noeviction",
        "save": "",
    }


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_a_restart_of_kafka_keeps_its_address_and_its_records(own_stack: NativeStack, *, killed: bool) -> None:
    address, pid, topic = own_stack.bootstrap_servers, own_stack.brokers[0].pid, create_topic(own_stack)
    produce(own_stack, topic, b"kept")
    if killed:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), TIMEOUT_S)
    restart_kafka(own_stack)
    assert own_stack.bootstrap_servers == address
    assert own_stack.brokers[0].pid != pid
    assert consume(own_stack, topic) == b"kept"


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_a_restart_of_the_store_keeps_its_address_and_its_keys(own_stack: NativeStack, *, killed: bool) -> None:
    url, pid, key = own_stack.redis_url, own_stack.valkey.pid, str(uuid.uuid4())
    with store_at(own_stack) as store:
        store.set(key, b"kept")
    if killed:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), TIMEOUT_S)
    restart_redis(own_stack)
    assert own_stack.redis_url == url
    assert own_stack.valkey.pid != pid
    with store_at(own_stack) as store:
        assert store.get(key) == b"kept"


def test_ports_are_open_on_the_loopback_address_only(own_stack: NativeStack) -> None:
    cluster = own_stack._cluster
    for port in (*cluster.ports, *cluster.controller_ports, own_stack.valkey.port):
        socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S).close()
        # A server that listens on every address is also found at another one of this machine.
        with pytest.raises(OSError, match=r"refused|unreachable|assign"):
            socket.create_connection(("127.0.0.2", port), timeout=TIMEOUT_S).close()


def test_everything_is_gone_after_stop(tmp_path: Path) -> None:
    stack = NativeStack(tmp_path)
    stack.start()
    pids = (stack.brokers[0].pid, stack.valkey.pid)
    assert all(is_alive(pid) for pid in pids)
    stack.stop()
    assert not any(is_alive(pid) for pid in pids)
    stack.stop()


def test_everything_is_gone_after_kill_9_of_the_owner(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        try:
            assert owner.stdout is not None
            pids = [int(word) for word in owner.stdout.readline().split()]
            assert all(is_alive(pid) for pid in pids)
        finally:
            owner.kill()
    wait_until(lambda: not any(is_alive(pid) for pid in pids), TIMEOUT_S)


def test_a_tampered_jar_is_refused(tmp_path: Path) -> None:
    jars = tmp_path / "cache" / "jars"
    jars.mkdir(parents=True)
    for jar in kafka_jars():
        (jars / jar.name).symlink_to(jar)
    tampered = jars / "kafka-clients-4.3.1.jar"
    content = bytearray(tampered.read_bytes())
    content[-1] ^= 1
    tampered.unlink()
    tampered.write_bytes(content)

    stack = NativeStack(tmp_path / "stack", cache=tmp_path / "cache")
    with pytest.raises(
        StackError, match=r"org\.apache\.kafka:kafka-clients:4\.3\.1 .* expected [0-9a-f]{64}.* delete it"
    ):
        stack.start()
    assert not is_alive(stack.valkey.pid)


def test_a_server_that_does_not_come_up_shows_the_end_of_its_log(tmp_path: Path) -> None:
    stack = NativeStack(tmp_path)
    with socket.create_server(("127.0.0.1", stack.valkey.port)):
        with pytest.raises(
            StackError, match=r"(?s)Valkey ended with exit code 1 .*valkey\.log.*Address already in use"
        ):
            stack.start()
        assert not is_alive(stack.brokers[0].pid)
