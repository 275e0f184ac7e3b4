"""Who is watched while people are served, and what is said when the base serves better."""

from dataclasses import dataclass
from typing import TypedDict

from ol0.drift.evidence import LiftEvidence
from ol0.records import Digest, Judgement, Reason

Opinion = tuple[Judgement, tuple[Reason, ...]]


@dataclass(frozen=True)
class Watched:
    """Who is watched. ``sequence`` is that of the serving state since which it serves in this role."""

    digest: Digest
    parent: Digest
    base: Digest
    stage: int
    sequence: int


class WatchedSnapshot(TypedDict):
    """A ``Watched`` in plain JSON values."""

    digest: str
    parent: str
    base: str
    stage: int
    sequence: int


def harm(evidence: LiftEvidence, who: str) -> Opinion:
    """The rollback of an arm that serves worse than the base."""
    text = (
        f"the base serves better than {who}: {100 * (evidence.estimate or 0.0):+.1f} points against the holdback in "
        f"{evidence.sessions} sessions"
    )
    return Judgement.ROLLBACK, (Reason("harm_to_base", evidence.estimate, None, 0.0, text),)


def write_watched(watched: Watched) -> WatchedSnapshot:
    """In plain JSON values."""
    return WatchedSnapshot(
        digest=watched.digest,
        parent=watched.parent,
        base=watched.base,
        stage=watched.stage,
        sequence=watched.sequence,
    )


def read_watched(snapshot: WatchedSnapshot) -> Watched:
    """What ``snapshot`` was taken from."""
    digest, parent, base = (Digest(name) for name in (snapshot["digest"], snapshot["parent"], snapshot["base"]))
    return Watched(digest, parent, base, snapshot["stage"], snapshot["sequence"])
