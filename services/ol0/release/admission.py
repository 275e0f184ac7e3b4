"""Whether a candidate may be put before the gates at all."""

from ol0.controller.checkpoint import Opener, read_checkpoint
from ol0.controller.compatibility import differences
from ol0.errors import CheckpointError
from ol0.records import Candidate, brief
from ol0.release.state import ReleaseState


def is_known(state: ReleaseState, candidate: Candidate) -> bool:
    """Whether this very checkpoint serves or is on trial: sent again, it needs no second fate."""
    served = {release.digest for release in (state.base, state.live) if release is not None}
    return candidate.digest in served or (state.trial is not None and state.trial.candidate.digest == candidate.digest)


def is_next(state: ReleaseState, candidate: Candidate) -> bool:
    """Whether a candidate that is turned away settles its step, so that its learner need not wait for ever.

    Only the next step of this lineage does: a forged step of a million must not settle all those before it.
    """
    outstanding = -1 if state.trial is None else state.trial.candidate.step
    last = max(state.decided_step, state.sealed_step, outstanding)
    return state.base is not None and candidate.base == state.base.digest and candidate.step == last + 1


def objection(state: ReleaseState, candidate: Candidate, opener: Opener = read_checkpoint) -> str | None:
    """What speaks against offering the candidate, in words; None where nothing does."""
    return _wrong_place(state, candidate) or _wrong_time(state, candidate) or _wrong_bytes(state, candidate, opener)


def _wrong_place(state: ReleaseState, candidate: Candidate) -> str | None:
    if state.base is None or state.live is None:
        if candidate.step == 0 and candidate.digest == candidate.parent == candidate.base:
            return None
        return "there is no base yet; the first candidate has step 0 and is its own base and parent (ol0 warmup)"
    if candidate.base != state.base.digest:
        return f"its base is {brief(candidate.base)}, the base of this lineage is {brief(state.base.digest)}"
    if candidate.step <= state.decided_step:
        return f"step {candidate.step} is settled; the next one is above {state.decided_step}"
    if candidate.digest in state.quarantined:
        return "its digest is quarantined"
    return None


def _wrong_time(state: ReleaseState, candidate: Candidate) -> str | None:
    if state.trial is not None:
        return f"candidate {brief(state.trial.candidate.digest)} is outstanding; one at a time"
    if state.live is not None and candidate.parent != state.live.digest:
        return f"its parent is {brief(candidate.parent)}, what is live is {brief(state.live.digest)}"
    if candidate.time_ms < state.cooldown_until_ms:
        return f"its time {candidate.time_ms} is within the cooldown until {state.cooldown_until_ms}"
    return None


def _wrong_bytes(state: ReleaseState, candidate: Candidate, opener: Opener) -> str | None:
    try:
        controller = opener(candidate.heads, candidate.digest)
        base = controller if state.base is None else opener(state.base.heads, state.base.digest)
    except CheckpointError as error:
        return str(error)
    manifest = controller.manifest
    # The base cannot name itself in bytes that its own digest covers: there, None means itself.
    names = (manifest.base or candidate.digest, manifest.parent or candidate.digest, manifest.step)
    if names != (candidate.base, candidate.parent, candidate.step):
        return "its manifest names another base, parent or step than its record"
    return "; ".join(differences(controller, base)) or None
