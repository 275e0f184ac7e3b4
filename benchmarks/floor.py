"""Plain consume and decode of the same bytes: what no join can be faster than."""

import argparse
from pathlib import Path

from confluent_kafka import Consumer

from benchmarks.plain import decode
from benchmarks.traffic import SOURCES
from benchmarks.worker import Stopwatch, Work
from ol0.config import load_settings
from ol0.wire.topics import Topics


def main() -> None:
    """Reads the arguments, works, reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--expected", type=int, required=True, help="decisions among them")
    parser.add_argument("--records", type=int, required=True, help="messages, ticks included")
    parser.add_argument("--group", required=True, help="one that has read nothing yet")
    arguments = parser.parse_args()
    settings = load_settings(arguments.config)
    topics = Topics(settings.kafka.topic_prefix, settings.kafka.partitions)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "group.id": arguments.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topics.full(name) for name in SOURCES])
    watch, records = Stopwatch(), 0
    while records < arguments.records:
        messages = consumer.consume(settings.streaming.batch_size, settings.streaming.batch_wait_s)
        if messages:
            watch.start()
        for message in messages:
            if message.error() is None:
                value = message.value()
                assert value is not None
                decode(value)
                records += 1
    wall_s, cpu_s = watch.read()
    consumer.close()
    Work(wall_s, cpu_s, 0.0, records, arguments.expected).say()


if __name__ == "__main__":
    main()
