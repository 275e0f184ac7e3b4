from dataclasses import replace

import pytest

from keyrings import keyring, new_keys
from ol0.errors import ContractError
from ol0.records import Candidate, Gate, Judgement, Phase, ServingState, Transition
from ol0.release.handler import ReleaseHandler
from unit.release.lineage import BASE, CONFIG, a_candidate, a_verdict

RING, STRANGER = keyring(new_keys()), keyring(new_keys())
NEXT = a_candidate(1, BASE.digest, 2)


def a_handler() -> ReleaseHandler:
    """The base serves, all signed."""
    handler = ReleaseHandler(CONFIG, 10, RING)
    handler.handle(RING.sign(BASE))
    for gate in Gate:
        handler.handle(RING.sign(a_verdict(BASE, gate)))
    assert handler.life.live is not None
    return handler


@pytest.mark.parametrize(
    ("candidate", "complaint"),
    [(NEXT, "is not signed"), (STRANGER.sign(NEXT), "trusted key"), (replace(RING.sign(NEXT), time_ms=9), "changed")],
)
def test_a_candidate_that_is_not_signed_is_turned_away_with_the_cause(candidate: Candidate, complaint: str) -> None:
    handler = a_handler()
    state, transition = handler.handle(candidate)
    assert isinstance(state, ServingState)
    assert isinstance(transition, Transition)
    assert transition.to_phase is Phase.REJECTED
    assert complaint in transition.cause
    # And the learner, whose key nobody knew, may come back with the next step.
    assert state.decided_step == 1
    later = RING.sign(a_candidate(2, BASE.digest, 3))
    (offered,) = handler.handle(later)
    assert isinstance(offered, Transition)
    assert offered.to_phase is Phase.OFFERED


def test_a_bad_copy_of_what_is_on_trial_changes_nothing() -> None:
    handler = a_handler()
    handler.handle(RING.sign(NEXT))
    before = handler.life
    assert list(handler.handle(NEXT)) == []
    assert handler.life is before


@pytest.mark.parametrize("judgement", [Judgement.APPROVE, Judgement.REJECT, Judgement.ROLLBACK])
def test_a_verdict_that_is_not_signed_moves_nobody_and_becomes_a_dead_letter(judgement: Judgement) -> None:
    handler = a_handler()
    handler.handle(RING.sign(NEXT))
    before = handler.life
    for gate in Gate:
        verdict = a_verdict(NEXT, gate, judgement)
        for forged in (verdict, STRANGER.sign(verdict), replace(RING.sign(verdict), judgement=Judgement.HOLD)):
            with pytest.raises(ContractError, match=r"security\.(signing|trusted)"):
                handler.handle(forged)
    assert handler.life == before


def test_signed_verdicts_stand_in_the_serving_state_with_their_signatures() -> None:
    live = a_handler().life.live
    assert live is not None
    assert [RING.flaw(verdict) for verdict in live.approvals] == [None, None]
