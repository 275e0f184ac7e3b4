from dataclasses import replace

import pytest

from ol0.controller.arms import ArmPicker
from ol0.controller.checkpoint import digest_of, read_checkpoint, write_checkpoint
from ol0.controller.controller import Manifest
from ol0.controller.heads import Head
from ol0.errors import CheckpointError
from ol0.records import Arm, Digest, Gate, Judgement, Mode, Release, ServingState, Staged
from ol0.sdk.view import view_of_state
from testbed.serving_states import BASE, EPSILON, LIVE, STAGED, a_release, a_state

PICKER = ArmPicker(b"key", 0.25)


def with_staged(release: Release) -> ServingState:
    return replace(a_state(), staged=Staged(release, 0.3, 1))


@pytest.mark.parametrize("gate", Gate)
@pytest.mark.parametrize("place", ["base", "live", "staged"])
@pytest.mark.parametrize(
    "flaw",
    [
        {"judgement": Judgement.HOLD},
        {"digest": Digest("e" * 64)},
        {"base": Digest("e" * 64)},
        {"parent": Digest("e" * 64)},
    ],
)
def test_without_an_exact_approval_of_each_gate_nothing_serves(
    gate: Gate, place: str, flaw: dict[str, Digest | Judgement]
) -> None:
    release = {"base": BASE, "live": LIVE, "staged": STAGED}[place]
    flawed = tuple(replace(one, **flaw) if one.gate is gate else one for one in release.approvals)  # type: ignore[arg-type]
    missing = tuple(one for one in release.approvals if one.gate is not gate)
    for approvals in (flawed, missing):
        bad = replace(release, approvals=approvals)
        state = with_staged(bad) if place == "staged" else replace(a_state(), **{place: bad})  # type: ignore[arg-type]
        with pytest.raises(CheckpointError, match=f"not approved by {gate.value}"):
            view_of_state(state)


def test_changed_bytes_do_not_serve() -> None:
    with pytest.raises(CheckpointError, match="bytes were changed"):
        view_of_state(a_state(live=replace(LIVE, heads=STAGED.heads)))


def test_a_release_of_another_base_does_not_serve() -> None:
    other = a_release(Digest("e" * 64), BASE.digest, 1)
    with pytest.raises(CheckpointError, match="has base eeee"):
        view_of_state(a_state(live=other))


def test_a_staged_candidate_of_another_parent_does_not_serve() -> None:
    with pytest.raises(CheckpointError, match="another parent than live"):
        view_of_state(with_staged(a_release(BASE.digest, BASE.digest, 2)))


def test_a_release_that_explores_otherwise_than_the_base_does_not_serve() -> None:
    with pytest.raises(CheckpointError, match="epsilon"):
        view_of_state(a_state(live=a_release(BASE.digest, BASE.digest, 1, EPSILON / 2)))


def rewritten(manifest: Manifest, heads: tuple[Head, ...]) -> Release:
    """LIVE with another manifest or other base heads, approved by both gates all the same."""
    plain = read_checkpoint(LIVE.heads)
    data = write_checkpoint(manifest, heads, plain.learnt, plain.mixer)
    digest = digest_of(data)
    approvals = tuple(replace(verdict, digest=digest) for verdict in LIVE.approvals)
    return replace(LIVE, digest=digest, heads=data, approvals=approvals)


def test_a_release_for_another_encoder_does_not_serve() -> None:
    plain = read_checkpoint(LIVE.heads)
    other = rewritten(replace(plain.manifest, encoder="e" * 64), plain.base)
    with pytest.raises(CheckpointError, match=r"encoder: eeee.*, the base has None"):
        view_of_state(a_state(live=other))


def test_a_release_whose_base_heads_moved_does_not_serve() -> None:
    plain = read_checkpoint(LIVE.heads)
    moved = replace(plain.base[0], bias=plain.base[0].bias + 1)
    with pytest.raises(CheckpointError, match="its base heads or hidden layers are not those of the base"):
        view_of_state(a_state(live=rewritten(plain.manifest, (moved, *plain.base[1:]))))


def test_a_base_with_a_base_does_not_serve_as_one() -> None:
    with pytest.raises(CheckpointError, match="as its own base"):
        view_of_state(replace(a_state(), base=LIVE))


def test_each_arm_gets_its_controller() -> None:
    view = view_of_state(a_state(staged=STAGED))
    expected = {Arm.HOLDBACK: BASE.digest, Arm.LIVE: LIVE.digest, Arm.STAGED: STAGED.digest}
    seen = {arm: policy.digest for arm, policy in (view.assign(f"s{n}", PICKER) for n in range(200))}
    assert seen == expected


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.OFF])
def test_outside_of_apply_the_base_serves_everybody(mode: Mode) -> None:
    view = view_of_state(a_state(staged=STAGED, mode=mode))
    assert {(arm, policy.digest) for arm, policy in (view.assign(f"s{n}", PICKER) for n in range(50))} == {
        (Arm.HOLDBACK, BASE.digest)
    }
