"""A service that kills itself right before or right after one commit: a program for tests of restarts.

``python dying.py SERVICE CONFIG TOPIC before|after``: the commit is the first one that writes to TOPIC, by its full
name, and its messages are at the broker when the process dies.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from threading import Event

from confluent_kafka import Consumer, TopicPartition

from ol0.config import load_settings
from ol0.kafka.messages import Outgoing
from ol0.kafka.transactions import STEP_TIMEOUT_S, Transactor
from ol0.observability.rounds import Rounds

FLUSH_S = 10.0


def run_until_the_commit(service: str, config: Path, topic: str, when: str) -> None:
    commit, step = Transactor.commit, Transactor._step
    armed = False

    def noting(
        self: Transactor,
        messages: Sequence[Outgoing],
        consumer: Consumer | None = None,
        offsets: Sequence[TopicPartition] = (),
    ) -> None:
        nonlocal armed
        armed = any(message.topic == topic for message in messages)
        commit(self, messages, consumer, offsets)

    def deadly(self: Transactor, name: str, call: Callable[[], None], timeout_s: float = STEP_TIMEOUT_S) -> None:
        dies = armed and name == "commit_transaction"
        if dies and when == "before":
            self._producer.flush(FLUSH_S)
            os.kill(os.getpid(), signal.SIGKILL)
        step(self, name, call, timeout_s)
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)

    Transactor.commit = noting  # type: ignore[method-assign]
    Transactor._step = deadly  # type: ignore[method-assign]
    import_module(f"ol0.{service}.service").run(load_settings(config), Event(), Rounds(service))


if __name__ == "__main__":
    run_until_the_commit(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4])
