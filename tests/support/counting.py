"""A handler that counts, for tests of the loops; and a program that runs it until it dies."""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from ol0.config import Settings
from ol0.errors import ContractError, SignatureError
from ol0.kafka.lineage import Lineage
from ol0.kafka.transaction_loop import TransactionalLoop
from ol0.records import Outcome, Record, Tick, Transition
from support.examples import TRANSITION

SERVICE = "evaluator"
REFUSED = "refuse me"
FORGED = "do not believe me"


class Counting:
    """Writes a transition with a number for every outcome, and one for every tick that follows an outcome."""

    def __init__(self) -> None:
        self.count = 0
        self.ticks: list[int | None] = []
        self.sessions: list[str] = []
        self.since_tick = 0

    def handle(self, record: Record) -> Sequence[Transition]:
        match record:
            case Outcome(session_id=session):
                if session == REFUSED:
                    raise ContractError("a session that nobody likes")
                if session == FORGED:
                    raise SignatureError("a session that nobody signed")
                self.count += 1
                self.since_tick += 1
                self.sessions.append(session)
                return [replace(TRANSITION, cause=f"outcome {self.count}")]
            case Tick(time_ms=time_ms):
                self.ticks.append(time_ms)
                since, self.since_tick = self.since_tick, 0
                return [replace(TRANSITION, cause=f"{since} since the last tick")] if since else []
            case _:
                return []

    def snapshot(self) -> bytes:
        return json.dumps([self.count, self.since_tick]).encode()

    def restore(self, body: bytes) -> None:
        self.count, self.since_tick = json.loads(body)


def make_loop(settings: Settings, lineage: Lineage, handler: Counting) -> TransactionalLoop:
    return TransactionalLoop(SERVICE, ["outcomes"], handler, lineage=lineage, streaming=settings.streaming)


def die_in_the_middle(when: str) -> None:
    """Handles one batch in a process that kills itself before or after the commit, its messages already sent."""
    settings = Settings.model_validate_json(sys.stdin.read())
    lineage = Lineage.of(settings.kafka)
    loop = make_loop(settings, lineage, Counting())
    loop.open()
    step = loop._transactor._step

    def deadly(name: str, call: Callable[[], None], timeout_s: float = 8) -> None:
        if name == "commit_transaction" and when == "before":
            loop._transactor._producer.flush(10)
            os.kill(os.getpid(), signal.SIGKILL)
        step(name, call, timeout_s)
        if name == "commit_transaction":
            os.kill(os.getpid(), signal.SIGKILL)

    loop._transactor._step = deadly  # type: ignore[method-assign]
    while True:
        loop.step()


if __name__ == "__main__":
    die_in_the_middle(sys.argv[1])
