"""The host of the lineage under full load."""

import threading
import time
from typing import Final

from ol0.errors import OL0Error
from testbed.faults.world import World

MOST_BEHIND: Final = 20_000


class Producer:
    """The host, in a thread: as fast as the feedback processes take it, or at a fixed rate."""

    def __init__(self, world: World, rate: float | None) -> None:
        self._world, self._rate = world, rate
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)
        self.failure: BaseException | None = None
        self.behind = self.most_behind = 0

    def start(self) -> None:
        """Begins to decide."""
        self._thread.start()

    def stop(self) -> None:
        """Ends deciding. Raises what ended it before."""
        self._end.set()
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            self._produce()
        except BaseException as error:  # noqa: BLE001 - told by stop(): a thread has nobody to tell
            self.failure = error

    def _produce(self) -> None:
        traffic, began, looked, decided = self._world.traffic, time.monotonic(), 0.0, 0
        while not self._end.is_set():
            now = time.monotonic()
            if now - looked > 0.5:
                looked, self.behind = now, self._ask_behind()
                self.most_behind = max(self.most_behind, self.behind)
            ahead = self._rate is not None and decided > (now - began) * self._rate
            if ahead or self.behind > MOST_BEHIND or traffic.pending > MOST_BEHIND:
                self._end.wait(0.02)
            else:
                traffic.decide(100)
                decided += 100
            traffic.send_due()

    def _ask_behind(self) -> int:
        """Records that were sent and are not in the store; as before while it does not answer."""
        try:
            counters = self._world.counters()
        except OL0Error:
            return self.behind
        traffic = self._world.traffic
        return traffic.decisions + traffic.feedback - counters.decisions - counters.feedback
