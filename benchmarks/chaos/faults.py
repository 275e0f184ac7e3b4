"""What may happen to the lineage under full load. None of it loses a record, so the audit may ask for every byte."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Final

from confluent_kafka import Producer
from confluent_kafka.cimpl import NewPartitions

from benchmarks.chaos.hostile import Hostile
from ol0.errors import OL0Error
from ol0.stacks.native import NativeStack
from testbed.faults.extra_member import join_and_leave
from testbed.faults.world import Workers, World
from testbed.restarts import restart_kafka, restart_redis

STOPPED_S: Final = 8.0
"""Longer than the session timeout of 6 s."""
DOWN_S: Final = 4.0
"""Longer than a broker's session of 2 s: its partitions get other leaders."""
AHEAD_MS: Final = 20_000
AHEAD_S: Final = 3.0
OPEN_S: Final = 12.0
"""How long a foreign transaction stays open."""
MOST_PARTITIONS: Final = 6
GROWING: Final = ("decisions", "feedback.user", "outcomes")
TIMEOUT_S: Final = 30.0


class Deck:
    """Kinds of faults in random order: each comes once before one comes again."""

    def __init__(self, kinds: Mapping[str, Callable[[], None]], rng: random.Random) -> None:
        self._kinds, self._rng = kinds, rng
        self._left: list[str] = []
        self.done: Counter[str] = Counter()

    def strike(self) -> str:
        """One fault, and what it was."""
        if not self._left:
            self._left = self._rng.sample(sorted(self._kinds), len(self._kinds))
        kind = self._left.pop()
        self._kinds[kind]()
        self.done[kind] += 1
        return kind


class Faults:
    """The faults themselves; ``kinds`` names them. Whoever stops brokers, or gives them orders, holds ``alone``."""

    def __init__(self, world: World, stack: NativeStack, workers: Workers, rng: random.Random, alone: Lock) -> None:
        self._world, self._stack, self._workers, self._rng = world, stack, workers, rng
        self._alone = alone
        self._hostile = Hostile(world.settings)
        self.ended: Counter[str] = Counter()
        """How the members that joined came to an end before their time."""

    @property
    def kinds(self) -> Mapping[str, Callable[[], None]]:
        """By what the log of the run says."""
        return {
            "kill -9 of a feedback process": self._kill,
            "SIGSTOP past the session timeout, SIGCONT": self._stop,
            "a member joins and leaves": self._rebalance,
            "kill -9 of the store": self._kill_store,
            "kill -9 of one broker of three": self._kill_broker,
            "kill -9 of every broker": self._kill_brokers,
            "a host's clock is ahead": self._clock_ahead,
            "partitions are added with Kafka's own call": self._add_partitions,
            "hostile records": self._hostile.strike,
            "a foreign transaction stays open": self._foreign_transaction,
        }

    def _member(self) -> str:
        return self._rng.choice(["0", "1"])

    def _kill(self) -> None:
        self._workers.kill_9(self._member())

    def _stop(self) -> None:
        pid = self._workers.pid(self._member())
        try:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(STOPPED_S)
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass  # it died of the fault before: no harm done

    def _rebalance(self) -> None:
        try:
            join_and_leave(self._world.settings, seconds=2.0)
        except OL0Error as error:  # what ends a process, and is over when it comes back
            self.ended[type(error).__name__] += 1

    def _kill_store(self) -> None:
        os.kill(self._stack.valkey.pid, signal.SIGKILL)
        restart_redis(self._stack)

    def _kill_broker(self) -> None:
        """Whatever it led has another leader by the time it comes back."""
        broker = self._rng.choice(self._stack.brokers)
        with self._alone:
            os.kill(broker.pid, signal.SIGKILL)
            time.sleep(DOWN_S)
            broker.stop()
            broker.start()

    def _kill_brokers(self) -> None:
        with self._alone:
            for broker in self._stack.brokers:
                os.kill(broker.pid, signal.SIGKILL)
            restart_kafka(self._stack)

    def _clock_ahead(self) -> None:
        traffic = self._world.traffic
        traffic.ahead_ms = AHEAD_MS
        time.sleep(AHEAD_S)
        traffic.ahead_ms = 0

    def _add_partitions(self) -> None:
        """One more for a topic, as an operator would with Kafka's own tool, who does not ask OL0."""
        admin, topics = self._world.lineage.clients.admin(), self._world.lineage.topics
        topic = topics.full(self._rng.choice(GROWING))
        with self._alone:
            count = len(admin.list_topics(topic, TIMEOUT_S).topics[topic].partitions)
            if count < MOST_PARTITIONS:
                for answer in admin.create_partitions([NewPartitions(topic, count + 1)]).values():
                    answer.result(TIMEOUT_S)

    def _foreign_transaction(self) -> None:
        """Somebody writes feedback in a transaction, thinks about it for long, and takes it back."""
        producer = Producer(
            {
                "bootstrap.servers": self._world.settings.kafka.bootstrap_servers,
                "transactional.id": "somebody-else",
                "transaction.timeout.ms": 60_000,
                "log_level": 0,
            }
        )
        producer.init_transactions(TIMEOUT_S)
        producer.begin_transaction()
        producer.produce(self._world.lineage.topics.full("feedback.tool"), b"{}", key="nobody")
        producer.flush(TIMEOUT_S)
        time.sleep(OPEN_S)
        producer.abort_transaction(TIMEOUT_S)
