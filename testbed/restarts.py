"""Servers of a native stack, stopped where they still run, and started again on the same ports and data."""

from concurrent.futures import ThreadPoolExecutor

from ol0.stacks.kafka import Kafka
from ol0.stacks.native import NativeStack


def restart_kafka(stack: NativeStack) -> None:
    """All brokers at the same time: none is ready before most of them run."""
    with ThreadPoolExecutor() as pool:
        for change in (Kafka.stop, Kafka.start):
            list(pool.map(change, stack.brokers))


def restart_redis(stack: NativeStack) -> None:
    """The store."""
    stack.valkey.stop()
    stack.valkey.start()
