"""Routers that follow releases kept in memory."""

import threading
import time
from pathlib import Path
from random import Random
from uuid import uuid4

from pydantic import SecretStr

from ol0 import Router
from ol0.config import ServingConfig
from ol0.controller.checkpoint import Opener, read_checkpoint
from ol0.records import (
    DecisionId,
    ServingState,
)
from ol0.sdk.options import Options
from testbed.serving_states import Log

DECISION = DecisionId(str(uuid4()))
KEY = SecretStr("of a test")


class Releases:
    """A releases topic that a test writes to."""

    def __init__(self, *states: ServingState, answers: bool = True) -> None:
        self.value: ServingState | None = None
        self.caught_up = False
        self.current_at_s: float | None = None
        self.closed = False
        self.failures = 0
        self._answers = answers
        self._waiting = list(states)
        self._news = threading.Condition()

    def write(self, state: ServingState) -> None:
        with self._news:
            self._waiting.append(state)
            self._news.notify()

    def poll(self, timeout_s: float) -> bool:
        with self._news:
            if self.failures:
                self.failures -= 1
                raise OSError("the client broke")
            if self._answers:
                self.caught_up = True
                self.current_at_s = time.monotonic()
            if not self._waiting:
                self._news.wait(timeout_s / 10)
                return False
            self.value = self._waiting.pop(0)
            return True

    def close(self) -> None:
        self.closed = True


def following(
    releases: Releases,
    log: Log | None = None,
    base: Path | None = None,
    wait_s: float = 2.0,
    opener: Opener = read_checkpoint,
) -> Router:
    return Router.following(
        lambda: releases,
        ServingConfig(base=base, arm_key=KEY, user_key=KEY),
        Options(wait_s=wait_s, rng=Random(1)),
        log or Log(),
        opener=opener,
    )
