"""Opens checkpoints after every check, and keeps what belongs to them no longer than a rollback may ask for it."""

from collections.abc import Collection, Mapping, Sequence

from ol0.controller.checkpoint import Opener, read_checkpoint
from ol0.controller.controller import Controller
from ol0.controller.signing import OPEN, Keyring
from ol0.errors import CheckpointError
from ol0.records import Candidate, Digest, brief


class CheckpointManager:
    """The checkpoints of a lineage as one process has them.

    Args:
        keys: whose signatures are believed.
        keep: releases whose snapshot stays (``online_learning.max_checkpoints``).
        snapshots: what the log has: the learner's state when it offered a checkpoint, by digest.
        opener: opens what their records say.
    """

    def __init__(
        self,
        keys: Keyring = OPEN,
        keep: int = 10,
        snapshots: Mapping[Digest, bytes] | None = None,
        opener: Opener = read_checkpoint,
    ) -> None:
        self._open = opener
        self._keys = keys
        self._keep = keep
        self._snapshots = dict(snapshots or {})

    def open(self, candidate: Candidate) -> Controller:
        """Opens what asks to serve: signature, size, digest, header, shapes, finiteness, and what the record says.

        Raises:
            SignatureError: it is not signed by whom it should be. Nothing may come of it.
            CheckpointError: the first of the others that is wrong, by name. No tensor has been used then.
        """
        self._keys.check(candidate)
        controller = self._open(candidate.heads, candidate.digest)
        if (flaw := _contradiction(candidate, controller)) is not None:
            raise CheckpointError(f"checkpoint {brief(candidate.digest)}: {flaw}")
        return controller

    def snapshot(self, digest: Digest) -> bytes | None:
        """The learner's state when it offered this checkpoint, bit for bit; None where it is no longer kept."""
        return self._snapshots.get(digest)

    def keep(self, digest: Digest, snapshot: bytes) -> None:
        """Takes in the snapshot of a checkpoint that is offered."""
        self._snapshots[digest] = snapshot

    def prune(self, needed: Collection[Digest | None], releases: Sequence[Digest]) -> list[Digest]:
        """Forgets every snapshot but those needed and those of the newest releases; says which.

        Args:
            needed: outstanding, serving, or where a restart resumes.
            releases: oldest first.
        """
        stale = sorted(set(self._snapshots) - {*needed, *releases[-self._keep :]})
        for digest in stale:
            del self._snapshots[digest]
        return stale


def _contradiction(candidate: Candidate, controller: Controller) -> str | None:
    """Where the record says one thing of the checkpoint and the file another, in words."""
    manifest = controller.manifest
    if not candidate.step and not candidate.digest == candidate.base == candidate.parent:
        return "step 0 is the base, which must be its own base and parent"
    # The base cannot name itself in bytes that its own digest covers.
    expected = (candidate.base, candidate.parent) if candidate.step else (None, None)
    if (manifest.base, manifest.parent) != expected:
        return "the manifest names another base or parent than the record"
    if manifest.step != candidate.step:
        return f"the manifest says step {manifest.step}, the record {candidate.step}"
    return None
