from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from ol0.controller.signing import Keyring
from ol0.errors import SignatureError
from ol0.operator.releases.history import History
from ol0.operator.releases.pages import show_page
from ol0.records import Candidate, Gate, Judgement, Phase, Transition
from ol0.release.handler import ReleaseHandler
from support.keyrings import keyring, new_keys
from unit.release.lineage import BASE, CONFIG, a_candidate, a_verdict

RING, STRANGER = keyring(new_keys()), keyring(new_keys())
NEXT = a_candidate(1, BASE.digest, 2)


def a_handler(ring: Keyring = RING) -> ReleaseHandler:
    """The base serves, all signed."""
    handler = ReleaseHandler(CONFIG, 10, ring)
    handler.handle(ring.sign(BASE))
    for gate in Gate:
        handler.handle(ring.sign(a_verdict(BASE, gate)))
    assert handler.state.live is not None
    return handler


FORGERIES = {
    "is not signed, but keys are configured": NEXT,
    "not signed by a trusted key of the learner": STRANGER.sign(NEXT),
    "was changed since": replace(RING.sign(NEXT), time_ms=9),
    "is signed, but its bytes were changed since": replace(RING.sign(NEXT), heads=b"other heads"),
}


@pytest.mark.parametrize(("complaint", "forged"), FORGERIES.items())
def test_a_candidate_that_is_not_to_be_believed_stands_in_nobodys_way(complaint: str, forged: Candidate) -> None:
    # Given a forgery with the right base, the right parent, the next step, and the digest of the genuine candidate.
    handler = a_handler()
    before = handler.state
    # When it comes, then it is a dead letter and nothing else.
    with pytest.raises(SignatureError, match=complaint):
        handler.handle(forged)
    assert handler.state is before
    # And the genuine one is offered, with the step and the digest that are its own.
    (offered,) = handler.handle(RING.sign(NEXT))
    assert isinstance(offered, Transition)
    assert (offered.digest, offered.step, offered.to_phase) == (NEXT.digest, NEXT.step, Phase.OFFERED)


@pytest.mark.parametrize(("complaint", "forged"), FORGERIES.items())
def test_a_bad_copy_of_what_is_on_trial_changes_nothing(complaint: str, forged: Candidate) -> None:
    handler = a_handler()
    handler.handle(RING.sign(NEXT))
    before = handler.state
    with pytest.raises(SignatureError, match=complaint):
        handler.handle(forged)
    assert handler.state is before


def test_a_refused_candidate_whose_key_is_trusted_by_now_is_offered_when_it_is_sent_again() -> None:
    # Given a candidate of a learner whose new key the release service did not know.
    old, new = new_keys(), new_keys()
    signed = keyring(new).sign(NEXT)
    handler = a_handler(keyring(old))
    with pytest.raises(SignatureError):
        handler.handle(signed)
    # When the service starts again with both keys, and the dead letter is replayed.
    restarted = ReleaseHandler(CONFIG, 10, keyring(old, new))
    restarted.restore(handler.snapshot())
    (offered,) = restarted.handle(signed)
    # Then it is as if the key had been known at once.
    assert isinstance(offered, Transition)
    assert offered.to_phase is Phase.OFFERED


@pytest.mark.parametrize("judgement", [Judgement.APPROVE, Judgement.REJECT, Judgement.ROLLBACK])
def test_a_verdict_that_is_not_signed_moves_nobody_and_becomes_a_dead_letter(judgement: Judgement) -> None:
    handler = a_handler()
    handler.handle(RING.sign(NEXT))
    before = handler.state
    for gate in Gate:
        verdict = a_verdict(NEXT, gate, judgement)
        for forged in (verdict, STRANGER.sign(verdict), replace(RING.sign(verdict), judgement=Judgement.HOLD)):
            with pytest.raises(SignatureError, match=r"security\.(signing|trusted)"):
                handler.handle(forged)
    assert handler.state == before


def test_signed_verdicts_stand_in_the_serving_state_with_their_signatures() -> None:
    live = a_handler().state.live
    assert live is not None
    assert [RING.flaw(verdict) for verdict in live.approvals] == [None, None]


def test_the_page_of_a_checkpoint_shows_the_genuine_copy_whoever_wrote_another_after_it() -> None:
    history = History(candidates=[RING.sign(NEXT), *FORGERIES.values()])
    console = Console(width=200, file=StringIO())
    console.print(show_page(history, NEXT.digest, RING))
    page = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"{len(NEXT.heads):,} bytes; signed by a trusted key" in page
    assert "were changed since" not in page
