"""Whether a candidate may be put before the gates at all."""

import numpy as np

from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.controller import Controller
from ol0.errors import CheckpointError
from ol0.records import Candidate
from ol0.release.state import Life


def is_known(life: Life, candidate: Candidate) -> bool:
    """Whether this very checkpoint serves or is on trial: sent again, it needs no second fate."""
    served = {release.digest for release in (life.base, life.live) if release is not None}
    return candidate.digest in served or (life.trial is not None and life.trial.candidate.digest == candidate.digest)


def is_next(life: Life, candidate: Candidate) -> bool:
    """Whether a candidate that is turned away settles its step, so that its learner need not wait for ever.

    Only the next step of this lineage does: a forged step of a million must not settle all those before it.
    """
    outstanding = -1 if life.trial is None else life.trial.candidate.step
    last = max(life.decided_step, life.sealed_step, outstanding)
    return life.base is not None and candidate.base == life.base.digest and candidate.step == last + 1


def objection(life: Life, candidate: Candidate) -> str | None:
    """What speaks against offering the candidate, in words; None where nothing does."""
    return _wrong_place(life, candidate) or _wrong_time(life, candidate) or _wrong_bytes(life, candidate)


def _wrong_place(life: Life, candidate: Candidate) -> str | None:
    if life.base is None or life.live is None:
        if candidate.step == 0 and candidate.digest == candidate.parent == candidate.base:
            return None
        return "there is no base yet; the first candidate has step 0 and is its own base and parent (ol0 warmup)"
    if candidate.base != life.base.digest:
        return f"its base is {candidate.base[:12]}, the base of this lineage is {life.base.digest[:12]}"
    if candidate.step <= life.decided_step:
        return f"step {candidate.step} is settled; the next one is above {life.decided_step}"
    if candidate.digest in life.quarantined:
        return "its digest is quarantined for ever"
    return None


def _wrong_time(life: Life, candidate: Candidate) -> str | None:
    if life.trial is not None:
        return f"candidate {life.trial.candidate.digest[:12]} is outstanding; one at a time"
    if life.live is not None and candidate.parent != life.live.digest:
        return f"its parent is {candidate.parent[:12]}, what is live is {life.live.digest[:12]}"
    if candidate.time_ms < life.cooldown_until_ms:
        return f"its time {candidate.time_ms} is within the cooldown until {life.cooldown_until_ms}"
    return None


def _wrong_bytes(life: Life, candidate: Candidate) -> str | None:
    try:
        controller = read_checkpoint(candidate.heads, candidate.digest)
        base = controller if life.base is None else read_checkpoint(life.base.heads, life.base.digest)
    except CheckpointError as error:
        return str(error)
    manifest = controller.manifest
    # The base cannot name itself in bytes that its own digest covers: there, none stands for itself.
    names = (manifest.base or candidate.digest, manifest.parent or candidate.digest, manifest.step)
    if names != (candidate.base, candidate.parent, candidate.step):
        return "its manifest names another base, parent or step than its record"
    return (
        None if _same_base(controller, base) else "its parts, policy settings or base heads are not those of the base"
    )


def _same_base(controller: Controller, base: Controller) -> bool:
    """Only learnt heads and mixer may differ: a base head that moved would move the yardstick with it."""
    ours, theirs = ((one.manifest.policy_settings, one.dimension, one.choices) for one in (controller, base))
    return ours == theirs and all(
        np.array_equal(mine.weight, other.weight) and np.array_equal(mine.bias, other.bias)
        for mine, other in zip(controller.base, base.base, strict=True)
    )
