"""What the learner does with a serving state and with new examples. No Kafka, no waiting."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from ol0.config import OnlineLearningConfig, Signer
from ol0.controller.checkpoint import Opener, read_checkpoint
from ol0.controller.checkpoint_manager import CheckpointManager
from ol0.controller.chunks import chunks_of, split
from ol0.controller.signing import OPEN, Keyring
from ol0.errors import CheckpointError
from ol0.learning.cadence import after_state, budget_share, lead_needed, may_offer, with_key
from ol0.learning.engines import trainer_of
from ol0.learning.progress import Progress
from ol0.learning.replay import Replay
from ol0.learning.trainer import Proposal
from ol0.learning.training import Training
from ol0.records import Candidate, Chunk, Digest, Record, ServingState, Snapshot

SERVICE = "learner"


def snapshot_key(digest: Digest) -> str:
    """Key in the state topic of the learner's snapshot that belongs to a candidate."""
    return f"{SERVICE}/{digest}"


class LearnerHandler:
    """Keeps one learner and the snapshots that it may have to take back.

    ``handle`` takes in what serves, ``train`` pays for new examples, ``offer`` makes the next candidate when it may.
    Records that they return belong into one transaction.

    Attributes:
        offers: candidates that it made.
        summary: figures of the last one.
    """

    def __init__(
        self,
        state: ServingState,
        snapshots: Mapping[str, bytes],
        replay: Replay,
        config: OnlineLearningConfig,
        *,
        seed: int,
        clock: Callable[[], float],
        keys: Keyring = OPEN,
        opener: Opener = read_checkpoint,
    ) -> None:
        """Goes on where the snapshots end.

        Args:
            state: what serves; brings the base. Hand it to ``handle`` next.
            snapshots: bodies of the state topic whose keys begin with ``learner``.
            replay: live examples, and the anchors of this base.
            config: every number.
            seed: of the learner.
            clock: seconds, for the figure ``seconds_per_step`` alone.
            keys: what candidates are signed with.
            opener: opens checkpoints.

        Raises:
            CheckpointError: the base or a snapshot cannot be read, or they do not fit each other.
        """
        self._state = state
        self._replay = replay
        self._config = config
        self._keys = keys
        self._opener = opener
        self._log = structlog.get_logger("ol0.learner")
        base = opener(state.base.heads, state.base.digest)
        anchors = replay.anchors()
        if not len(anchors):
            self._log.warning("no anchors: nothing holds the learnt heads to the base; run the warm-up again")
        self._learner = trainer_of(base, anchors, config, seed)
        self._learner.follow(opener(state.live.heads, state.live.digest))
        prefix = snapshot_key(Digest(""))
        kept = {Digest(key.removeprefix(prefix)): body for key, body in snapshots.items() if key.startswith(prefix)}
        self._varied = True
        self._waits_from: int | None = None
        self.offers = 0
        self.summary: Mapping[str, float] = {}
        self._checkpoints = CheckpointManager(keys, config.max_checkpoints, kept)
        packed = snapshots.get(SERVICE)
        progress = Progress.first(state) if packed is None else Progress.unpack(packed)
        self._signer = keys.signs_with(Signer.LEARNER)
        self._progress = with_key(progress, state, self._signer)
        self._training = Training(self._learner, replay, config, clock, self._progress.trained)
        self._take_back(self._progress.resume, state)

    @property
    def convinced(self) -> bool:
        """Whether there is evidence that anything can be learnt."""
        return self._learner.convinced

    def handle(self, state: ServingState) -> list[Record]:
        """Takes in what serves; returns the progress to write if that settled anything."""
        if state.live.digest != self._state.live.digest:
            self._learner.follow(self._opener(state.live.heads, state.live.digest))
        self._state = state
        progress, takes_back = after_state(self._progress, state)
        if self._waits_from is None or (progress.settled and not self._progress.settled):
            # Not kept over a restart, after which a learner that has offered something waits anew.
            self._waits_from = self._replay.examples if progress.step else 0
        if takes_back:
            self._take_back(state.live.digest, state)
            self._training.begin_figures()
            progress = replace(progress, trained=self._training.trained)
        if progress == self._progress:
            return []
        self._progress = progress
        return [self._progress_record()]

    def train(self) -> int:
        """Pays for new examples with updates, a bounded number a call; returns how many it made."""
        return self._training.update_due()

    def offer(self) -> list[Record]:
        """The next candidate with its chunks, progress and snapshot.

        Nothing where none may be offered or nothing was learnt; nor where the learner is not convinced that there is
        anything to learn (its candidate would answer as the base does), nor before other answers are expected to be
        worth more than those that serve: a trial costs thousands of decisions, and the next one's level.
        """
        examples, watermark_ms = self._replay.examples, self._replay.watermark_ms
        allowed = may_offer(
            self._state,
            self._progress,
            examples=examples,
            watermark_ms=watermark_ms,
            min_replay=self._config.min_replay,
        )
        self._note_variety()
        needed = lead_needed(self._config, examples=examples, waits_from=self._waits_from or 0)
        if not (allowed and self._training.steps and self._learner.convinced and self._learner.lead >= needed):
            return []
        step = max(self._progress.step, self._state.decided_step) + 1
        proposal = self._learner.candidate(self._state.live.digest, step, budget_share(self._progress))
        self._note_offer(proposal, step)
        digest = proposal.controller.digest
        heads, chunks = split(proposal.data)
        candidate = Candidate(
            digest=digest,
            parent=self._state.live.digest,
            base=self._state.base.digest,
            step=step,
            time_ms=watermark_ms,
            heads=heads,
            summary=self._training.figures() | dict(proposal.summary),
        )
        self.offers, self.summary = self.offers + 1, candidate.summary
        self._training.begin_figures()
        self._log.info("candidate", digest=digest, step=step, examples=examples, key=self._signer)
        body = self._learner.snapshot()
        self._checkpoints.keep(digest, body)
        snapshot = Snapshot(snapshot_key(digest), watermark_ms, body)
        return [*self._new(chunks), self._keys.sign(candidate), self._progress_record(), snapshot]

    def prune(self) -> list[str]:
        """Forgets snapshots that no rollback can ask for; returns their keys, to be tombstoned.

        What stays: the outstanding offer, what serves, what a restart resumes from, and the last ``max_checkpoints``
        releases. A rollback further back starts from that release's heads with a fresh optimiser.
        """
        progress = self._progress
        stale = self._checkpoints.prune((progress.offered, progress.serving, progress.resume), progress.releases)
        return [snapshot_key(digest) for digest in stale]

    def _new(self, chunks: Mapping[Digest, bytes]) -> list[Chunk]:
        """Those that neither base nor live keeps on the log. What else was written once may be deleted by now."""
        kept = {*chunks_of(self._state.base.heads), *chunks_of(self._state.live.heads)}
        return [Chunk(digest, data) for digest, data in chunks.items() if digest not in kept]

    def _note_variety(self) -> None:
        """Says once that prompts do not differ, until they do."""
        if self._varied and not self._learner.varied:
            self._log.warning(
                "nearly all of the last prompts have the same features: nothing can be learnt from them, and nothing "
                "is offered. Is the host's embedder stuck?"
            )
        self._varied = self._learner.varied

    def _note_offer(self, proposal: Proposal, step: int) -> None:
        digest = proposal.controller.digest
        self._progress = replace(
            self._progress,
            step=step,
            offered=digest,
            settled=False,
            failures=self._state.failures,
            resume=digest,
            trained=self._training.trained,
            signer=self._signer,
        )

    def _take_back(self, digest: Digest, state: ServingState) -> None:
        """Restores the snapshot of a release bit for bit; without one, begins at the heads that serve."""
        body = self._checkpoints.snapshot(digest)
        if body is not None:
            try:
                self._learner.restore(body)
            except CheckpointError as error:
                raise CheckpointError(f"{snapshot_key(digest)}: {error}") from None
            return
        at_base = digest == state.base.digest
        if not at_base:
            self._log.warning("no snapshot of this release: learning starts from the heads that serve", digest=digest)
        release = state.base if at_base else state.live
        self._learner.start_from(self._opener(release.heads, release.digest))

    def _progress_record(self) -> Snapshot:
        return Snapshot(SERVICE, self._replay.watermark_ms, self._progress.pack())
