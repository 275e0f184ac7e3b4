"""What serves: an immutable, verified and compiled picture of one serving state."""

from dataclasses import dataclass, replace

from ol0.controller.arms import ArmPicker
from ol0.controller.checkpoint import Opener, read_checkpoint
from ol0.controller.compatibility import differences
from ol0.controller.controller import Controller
from ol0.controller.signing import OPEN, Keyring
from ol0.errors import CheckpointError
from ol0.records import Arm, Digest, Gate, Judgement, Mode, Release, ServingState, Verdict, brief
from ol0.sdk.policy import GreedyPolicy


@dataclass(frozen=True, slots=True)
class View:
    """One serving state, ready to serve. A prompt holds on to one, whatever becomes visible meanwhile.

    Attributes:
        sequence: of the serving state; 0 for a checkpoint that came from a file.
        mode: what is to be done with it.
        base, live, staged: compiled; staged is None where no candidate is on trial.
        share: share of all sessions that staged serves.
    """

    sequence: int
    mode: Mode
    base: GreedyPolicy
    live: GreedyPolicy
    staged: GreedyPolicy | None = None
    share: float = 0.0

    def assign(self, unit: str, picker: ArmPicker) -> tuple[Arm, GreedyPolicy]:
        """The arm of a unit (user or session), and who serves it."""
        if self.mode is not Mode.APPLY:
            return Arm.HOLDBACK, self.base
        arm = picker.pick(unit, None if self.staged is None else self.staged.digest, self.share)
        if arm is Arm.STAGED and self.staged is not None:
            return arm, self.staged
        return arm, self.live if arm is Arm.LIVE else self.base


def view_of_file(data: bytes, expected: Digest | None = None) -> View:
    """A view in which one checkpoint is base and live: the operator, not the gates, answers for it.

    Raises:
        CheckpointError: it is not what it says.
    """
    policy = GreedyPolicy(read_checkpoint(data, expected))
    return View(sequence=0, mode=Mode.APPLY, base=policy, live=policy)


def view_of_state(state: ServingState, keys: Keyring = OPEN, opener: Opener = read_checkpoint) -> View:
    """Verifies everything that may serve; one flaw refuses the whole state, for its parts belong together.

    Raises:
        CheckpointError: bytes, base, parent, shapes, approvals or their signatures are wrong; says which.
    """
    base = opener(state.base.heads, state.base.digest)
    if base.manifest.base not in (None, base.digest):
        raise CheckpointError(f"base {brief(base.digest)} names {base.manifest.base} as its own base")
    _require_approvals(state.base, base.digest, base.digest, keys)
    live = base if state.live.digest == base.digest else _open_release(state.live, base, keys, opener)
    view = View(state.sequence, state.mode, GreedyPolicy(base), GreedyPolicy(live))
    if state.staged is None:
        return view
    staged = _open_release(state.staged.release, base, keys, opener)
    if staged.manifest.parent != live.digest:
        raise CheckpointError(f"staged {brief(staged.digest)} has another parent than live, {brief(live.digest)}")
    return replace(view, staged=GreedyPolicy(staged), share=state.staged.share)


def _open_release(release: Release, base: Controller, keys: Keyring, opener: Opener) -> Controller:
    controller = opener(release.heads, release.digest)
    manifest = controller.manifest
    if manifest.base != base.digest:
        raise CheckpointError(f"release {brief(release.digest)} has base {manifest.base}, not {brief(base.digest)}")
    if flaws := differences(controller, base):
        raise CheckpointError(f"release {brief(release.digest)}: {'; '.join(flaws)}")
    _require_approvals(release, base.digest, manifest.parent, keys)
    return controller


def _require_approvals(release: Release, base: Digest, parent: Digest | None, keys: Keyring) -> None:
    """Both gates must have approved exactly this digest, against exactly this base and parent, and signed it."""
    approvals = [verdict for verdict in release.approvals if _approves(verdict, release.digest, base, parent)]
    flaws = {verdict.gate: flaw for verdict in approvals if (flaw := keys.flaw(verdict)) is not None}
    approved = {verdict.gate for verdict in approvals} - set(flaws)
    if flaws:
        raise CheckpointError(f"release {brief(release.digest)}: {'; '.join(flaws.values())}")
    if missing := set(Gate) - approved:
        names = " and ".join(sorted(missing))
        raise CheckpointError(f"release {brief(release.digest)} is not approved by {names} for its base and parent")


def _approves(verdict: Verdict, digest: Digest, base: Digest, parent: Digest | None) -> bool:
    exact = (verdict.digest, verdict.base, verdict.parent) == (digest, base, parent)
    return exact and verdict.judgement is Judgement.APPROVE
