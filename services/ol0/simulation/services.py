"""All services of a lineage, looked after by a thread for as long as a run lasts."""

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Self

from ol0.config import Settings
from ol0.errors import ConfigError, StackError
from ol0.kafka.lineage import Lineage
from ol0.kafka.topic_readers.compacted_reader import CompactedReader
from ol0.supervisor.service_commands import service_commands
from ol0.supervisor.supervisor import Event as ServiceEvent
from ol0.supervisor.supervisor import EventKind, Supervisor

POLL_S = 0.2
DEATHS = 6
"""In a row, each within half a minute of its start: what a restart of a server has cured by then."""


class Services:
    """Starts them on entering, restarts what dies, stops them on leaving.

    Args:
        config: the settings file that each reads.
        logs: folder of their logs.
        tell: is told in a sentence when one dies or comes back.
    """

    def __init__(self, config: Path, logs: Path, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._done = Event()
        self._supervisor = Supervisor(service_commands(config, logs), on_event=self._note)
        self._thread = Thread(target=self._supervisor.run, args=(self._done,), name="supervisor", daemon=True)

    def __enter__(self) -> Self:
        self._supervisor.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._supervisor.stop()

    @property
    def restarts(self) -> Mapping[str, int]:
        """How often each was started again."""
        return self._supervisor.restarts

    @property
    def pids(self) -> Mapping[str, int]:
        """Those that run now."""
        return self._supervisor.pids

    def check(self) -> None:
        """Whether all of them run or will run again.

        Raises:
            ConfigError: one refuses its settings; says why.
            StackError: one dies again and again; says why.
        """
        if self._supervisor.refusal is not None:
            raise ConfigError(self._supervisor.refusal)
        if (failing := self._supervisor.failing(DEATHS)) is not None:
            raise StackError(failing)

    def wait_for_release(self, settings: Settings, limit_s: float) -> None:
        """Waits until something serves.

        Raises:
            ConfigError: a service refuses its settings.
            StackError: the time is over.
        """
        deadline_s = monotonic() + limit_s
        with CompactedReader("releases", Lineage.of(settings.kafka)) as reader:
            while not reader.poll(POLL_S):
                self.check()
                if monotonic() > deadline_s:
                    raise StackError(f"nothing was released within {limit_s:g} s: the logs of the gates say why")

    def _note(self, event: ServiceEvent) -> None:
        if event.kind is EventKind.STARTED:
            return
        self._tell(f"Service {event.name} {event.kind.value}: {event.text}")
