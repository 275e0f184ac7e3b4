from dataclasses import replace

import pytest

from ol0.config import ServingConfig
from ol0.controller.signing import Keyring
from ol0.errors import CheckpointError
from ol0.records import Gate, Release, ServingState
from ol0.sdk.options import Options
from ol0.sdk.router import Router
from ol0.sdk.view import view_of_state
from support.keyrings import keyring, new_keys
from testbed.serving_states import BASE, LIVE, STAGED, a_state

OLD, NEW = new_keys(), new_keys()
RING = keyring(OLD)


def signed(release: Release, keys: Keyring = RING, gates: tuple[Gate, ...] = tuple(Gate)) -> Release:
    approvals = (keys.sign(one) if one.gate in gates else one for one in release.approvals)
    return replace(release, approvals=tuple(approvals))


def signed_state(**changes: Release) -> ServingState:
    """Base, live and staged, all approved by both gates and signed, but for the changes."""
    base, live, staged = (
        changes.get(name, signed(one)) for name, one in (("base", BASE), ("live", LIVE), ("staged", STAGED))
    )
    return replace(a_state(live=live, staged=staged), base=base)


def test_what_both_gates_signed_is_served() -> None:
    view = view_of_state(signed_state(), RING)
    assert view.staged is not None
    assert (view.live.digest, view.staged.digest) == (LIVE.digest, STAGED.digest)


@pytest.mark.parametrize("role", ["base", "live", "staged"])
@pytest.mark.parametrize("gate", Gate)
def test_one_signature_that_is_missing_or_foreign_refuses_the_whole_state(role: str, gate: Gate) -> None:
    release = {"base": BASE, "live": LIVE, "staged": STAGED}[role]
    (other,) = set(Gate) - {gate}
    half = signed(release, gates=(other,))
    forged = signed(half, keyring(NEW), gates=(gate,))
    for bad, complaint in ((half, f"security.signing.{gate}"), (forged, f"a trusted key of the {gate}")):
        with pytest.raises(CheckpointError, match=complaint):
            view_of_state(signed_state(**{role: bad}), RING)


def test_without_keys_signatures_are_not_looked_at() -> None:
    assert view_of_state(a_state()).live.digest == LIVE.digest
    assert view_of_state(signed_state(live=signed(LIVE, keyring(NEW)))).live.digest == LIVE.digest


def test_while_keys_change_releases_of_both_serve_side_by_side() -> None:
    state = signed_state(staged=signed(STAGED, keyring(NEW)))
    assert view_of_state(state, keyring(OLD, NEW)).staged is not None


def test_a_router_keeps_serving_the_last_good_state_and_says_what_it_refused() -> None:
    router = Router(view_of_state(signed_state(), RING), ServingConfig(), Options(), None, RING)
    router.take(replace(a_state(live=STAGED), sequence=2))
    assert router.serving == (1, LIVE.digest)
    assert router.refused is not None
    assert "is not signed, but keys are configured" in router.refused
