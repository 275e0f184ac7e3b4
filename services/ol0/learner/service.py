"""The learner's loop: between the replay store and the releases, with nothing else to wait for.

Its products are small, and threads cost more than they save: start the process with ``OPENBLAS_NUM_THREADS=1``,
``OMP_NUM_THREADS=1`` and ``MKL_NUM_THREADS=1`` in its environment. Setting them here would be too late, because numpy
reads them when it is first imported.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Protocol

from ol0.config import OnlineLearningConfig, Settings, Signer
from ol0.controller.checkpoint import Opener, read_checkpoint
from ol0.controller.controller import Controller
from ol0.controller.signing import OPEN, Keyring
from ol0.errors import ConfigError
from ol0.kafka.lineage import Lineage
from ol0.kafka.topic_readers.checkpoints import CheckpointReader
from ol0.kafka.topic_readers.compacted_reader import LatestValue
from ol0.kafka.transactional_writer import TransactionalWriter
from ol0.learner.decoding import DecodedReplay
from ol0.learner.handler import SERVICE, LearnerHandler
from ol0.learner.metrics import learner_figures
from ol0.learning.replay import Replay
from ol0.observability.loop_stats import LoopStats
from ol0.observability.rounds import Rounds, Source
from ol0.records import Record, ServingState
from ol0.replay.buffer import ReplayBuffer
from ol0.replay.connection import connect
from ol0.replay.store import ReplayStore
from ol0.wire.codec import Codec
from ol0.wire.payloads import Payloads

IDLE_S = 0.2  # nothing new: five looks a second are one cheap script each


class Releases(Protocol):
    """Follows the releases topic."""

    def poll(self) -> ServingState | None:
        """The newest serving state since the last call; None: no new one. Does not wait. Raises StreamError."""


class Writer(Protocol):
    """The transactional producer of the lineage's learner. Everything blocks until it is committed or fails for good.

    A second learner of the lineage fences this one: its next call raises StreamError and the process ends.
    """

    def write(self, records: Sequence[Record], forget: Sequence[str] = ()) -> None:
        """Writes all of them, and deletes the snapshots of these keys, in one transaction."""

    def read_snapshots(self, prefix: str) -> Mapping[str, bytes]:
        """Bodies of the newest snapshots whose service begins so, by service."""


OpenReplay = Callable[[Controller], Replay]


class LearnerService:
    """Waits for a base, then goes round: refresh, take in releases, train, offer."""

    def __init__(  # noqa: PLR0913 - one keyword for each dependency
        self,
        *,
        releases: Releases,
        writer: Writer,
        open_replay: OpenReplay,
        config: OnlineLearningConfig,
        seed: int,
        keys: Keyring = OPEN,
        clock: Callable[[], float] = time.perf_counter,
        ask: Callable[[Source], None] = lambda _: None,
        opener: Opener = read_checkpoint,
    ) -> None:
        """Does nothing yet.

        Args:
            releases: what serves.
            writer: candidates and snapshots.
            open_replay: the replay buffer, given the base that its examples must fit.
            config: every number.
            seed: of the learner, the same after a restart.
            keys: what candidates are signed with.
            clock: seconds, for a figure in the summary.
            ask: is given the source of the metrics.
            opener: opens checkpoints.
        """
        self._releases = releases
        self._writer = writer
        self._open_replay = open_replay
        self._config = config
        self._seed = seed
        self._keys = keys
        self._clock = clock
        self._ask = ask
        self._opener = opener

    def run(self, stop: Event) -> None:
        """Runs until ``stop`` is set; then finishes the round, at most a second of work.

        Raises:
            ConfigError: the keys of this lineage are not this learner's.
            OL0Error: the store or the log refuses, or a base or snapshot is not what it says: end the process.
        """
        state = self._first_state(stop)
        if state is None:
            return
        check_keys(state, self._keys)
        replay = self._open_replay(self._opener(state.base.heads, state.base.digest))
        snapshots = self._writer.read_snapshots(SERVICE)
        handler = LearnerHandler(
            state,
            snapshots,
            replay,
            self._config,
            seed=self._seed,
            clock=self._clock,
            keys=self._keys,
            opener=self._opener,
        )
        replay.refresh()
        self._ask(lambda: learner_figures(handler, replay))
        self._write(handler.handle(state))
        while not stop.is_set():
            if not self._round(handler, replay):
                stop.wait(IDLE_S)
        replay.flush()

    def _first_state(self, stop: Event) -> ServingState | None:
        """There is no base, and nothing to do, until warm-up's base is released."""
        while not stop.is_set():
            if (state := self._releases.poll()) is not None:
                return state
            stop.wait(IDLE_S)
        return None

    def _round(self, handler: LearnerHandler, replay: Replay) -> bool:
        """Whether there was anything to do."""
        replay.refresh()
        if (state := self._releases.poll()) is not None:
            self._write(handler.handle(state))
        updates = handler.train()
        offered = handler.offer()
        if offered:
            self._writer.write(offered, handler.prune())
        return bool(updates or offered)

    def _write(self, records: Sequence[Record]) -> None:
        if records:
            self._writer.write(records)


def check_keys(state: ServingState, keys: Keyring) -> None:
    """Lets a learner go on whose candidates will be judged, as far as one can see from what serves.

    The keys that the base was approved with stay trusted as long as the lineage lives (docs/operating.md).

    Raises:
        ConfigError: the base was approved with keys that these settings do not have. Nobody would believe a candidate,
            and the learner would wait for an answer for ever.
    """
    approvals = state.base.approvals
    if not keys.trusted and any(verdict.signature is not None for verdict in approvals):
        raise ConfigError(
            "this lineage has keys, and these settings have none: nobody would believe a candidate. Give the learner "
            "security.trusted as everybody has it, and its own key as security.signing.learner"
        )
    for verdict in approvals:
        if (flaw := keys.flaw(verdict)) is not None:
            raise ConfigError(
                f"the base that serves was not approved with the keys of security.trusted: {flaw}. A lineage that "
                "began without keys, or with others, is begun anew under a kafka.topic_prefix of its own"
            )


def run(settings: Settings, stop: Event, rounds: Rounds) -> None:
    """The learner of a lineage, until ``stop`` is set.

    Raises:
        OL0Error: as ``LearnerService.run``.
    """
    keys = Keyring.of(settings.security, settings.kafka.topic_prefix, Signer.LEARNER)
    lineage = Lineage.of(settings.kafka)
    writer = TransactionalWriter(SERVICE, lineage)
    writer.init()
    with closing(LatestValue("releases", lineage, "serving", ServingState)) as latest:
        LearnerService(
            releases=_Releases(latest, rounds),
            writer=_Snapshots(writer),
            open_replay=partial(_open_replay, settings, lineage.codec),
            config=settings.online_learning,
            seed=0,
            keys=keys,
            ask=rounds.ask,
            opener=CheckpointReader(lineage),
        ).run(stop)


@dataclass(frozen=True, slots=True)
class _Releases:
    """Looks for a newer serving state once a round, which is also the loop's sign of life."""

    latest: LatestValue[ServingState]
    rounds: Rounds

    def poll(self) -> ServingState | None:
        self.rounds(LoopStats(0, 0, 0, 0.0))
        newer = self.latest.poll(0.0)
        return self.latest.value if newer else None


@dataclass(frozen=True, slots=True)
class _Snapshots:
    """The transactional writer, with the bodies of snapshots only."""

    writer: TransactionalWriter

    def write(self, records: Sequence[Record], forget: Sequence[str] = ()) -> None:
        self.writer.write(records, forget)

    def read_snapshots(self, prefix: str) -> Mapping[str, bytes]:
        return {key: snapshot.body for key, snapshot in self.writer.read_snapshots(prefix).items()}


def _open_replay(settings: Settings, codec: Codec, base: Controller) -> Replay:
    client, prefix, config = connect(settings.redis), settings.kafka.topic_prefix, settings.online_learning
    incarnation = ReplayStore(client, prefix).attach()
    buffer = ReplayBuffer(client, prefix, incarnation, config.priority_epsilon, config.max_age_s)
    return DecodedReplay(buffer, base, Payloads(codec).unpack, config.replay_size + config.batch_size)
