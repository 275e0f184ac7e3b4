from dataclasses import replace

import pytest

from ol0.config import OnlineLearningConfig
from ol0.errors import CheckpointError
from ol0.learning.cadence import (
    CAUTION,
    MOST_CAREFUL,
    UPDATES_PER_ROUND,
    after_state,
    budget_share,
    catch_up,
    lead_needed,
    may_offer,
    with_key,
)
from ol0.learning.progress import Progress
from ol0.records import Digest, Mode, ServingState, Staged
from unit.learning.learner_world import SMALL, make_base, serving

A, B, OWN, OTHER = (Digest(name * 64) for name in "abcd")
BASE_SERVES = serving(make_base())


def state(live: Digest, *, decided_step: int = 5, failures: int = 0) -> ServingState:
    release = replace(BASE_SERVES.live, digest=live)
    return replace(BASE_SERVES, live=release, decided_step=decided_step, failures=failures)


# Step 5 was offered while A served and no failures counted.
OUTSTANDING = Progress(5, OWN, settled=False, failures=0, serving=A, resume=OWN, trained=640, releases=(B, A))


def test_eight_new_examples_owe_an_update_and_fewer_wait() -> None:
    assert catch_up(7, 7, 0, SMALL) == (0, 0)
    assert catch_up(8, 8, 0, SMALL) == (1, 8)
    assert catch_up(31, 31, 8, SMALL) == (2, 24)


def test_a_long_debt_is_paid_round_by_round() -> None:
    updates, paid = catch_up(4_000, 4_000, 0, SMALL)
    assert (updates, paid) == (UPDATES_PER_ROUND, UPDATES_PER_ROUND * 8)
    assert catch_up(4_000, 4_000, paid, SMALL) == (UPDATES_PER_ROUND, 2 * paid)


@pytest.mark.parametrize("lost", ["evicted", "excluded", "too old"])
def test_what_cannot_be_drawn_any_more_owes_nothing(lost: str) -> None:
    # However it was lost, so many are left
    left = SMALL.replay_size if lost == "evicted" else 200
    assert catch_up(left + 1_000, left, 0, SMALL)[1] == 1_000 + UPDATES_PER_ROUND * 8
    assert catch_up(2_000, 0, 1_900, SMALL) == (0, 2_000)


def test_a_store_that_was_made_again_owes_nothing_until_it_grows() -> None:
    assert catch_up(100, 100, 5_000, SMALL) == (0, 100)


def may(state: ServingState, progress: Progress, *, examples: int = 16, watermark_ms: int = 100) -> bool:
    return may_offer(state, progress, examples=examples, watermark_ms=watermark_ms, min_replay=16)


READY = replace(OUTSTANDING, settled=True)


def test_a_candidate_may_be_offered_once_the_last_is_decided() -> None:
    assert may(state(A), READY)
    assert may(state(A), OUTSTANDING)
    assert not may(state(A, decided_step=4), OUTSTANDING)


def test_nothing_is_offered_beside_a_staged_candidate() -> None:
    staged = Staged(BASE_SERVES.live, 0.5, 1)
    assert not may(replace(state(A), staged=staged), READY)


def test_nothing_is_offered_before_enough_examples() -> None:
    assert not may(state(A), READY, examples=15)


def test_nothing_is_offered_until_the_watermark_has_passed_the_cooldown() -> None:
    cooling = replace(state(A), cooldown_until_ms=101)
    assert not may(cooling, READY)
    assert may(cooling, READY, watermark_ms=101)


def test_nothing_is_offered_while_people_forbid_it() -> None:
    assert not may(replace(state(A), frozen=True), READY)
    assert not may(replace(state(A), mode=Mode.OBSERVE), READY)
    assert not may(replace(state(A), mode=Mode.OFF), READY)


def test_while_the_offer_is_open_nothing_changes() -> None:
    assert after_state(OUTSTANDING, state(A, decided_step=4)) == (OUTSTANDING, False)


def test_when_the_offer_goes_live_learning_goes_on() -> None:
    after, takes_back = after_state(OUTSTANDING, state(OWN))
    assert not takes_back
    assert after == replace(OUTSTANDING, settled=True, serving=OWN, releases=(B, A, OWN))


def test_after_a_plain_rejection_learning_goes_on() -> None:
    after, takes_back = after_state(OUTSTANDING, state(A))
    assert not takes_back
    assert after == replace(OUTSTANDING, settled=True, turned_down=1)


def test_each_candidate_that_is_turned_down_makes_the_next_more_careful_and_each_release_less() -> None:
    careful = replace(OUTSTANDING, turned_down=3)
    worse, better = after_state(careful, state(A))[0], after_state(careful, state(OWN))[0]
    assert budget_share(worse) < budget_share(careful) < budget_share(better) < budget_share(OUTSTANDING) == 1
    assert after_state(OUTSTANDING, state(OWN))[0].turned_down == 0
    assert after_state(careful, state(A, decided_step=4))[0] == careful


def test_care_never_ends_learning_for_good() -> None:
    shares = [budget_share(replace(OUTSTANDING, turned_down=count)) for count in range(3 * MOST_CAREFUL)]
    assert min(shares) == pytest.approx(CAUTION ** (MOST_CAREFUL - 1))
    assert shares[MOST_CAREFUL] == shares[2 * MOST_CAREFUL] == 1


def test_after_harm_what_serves_is_taken_back_once() -> None:
    after, takes_back = after_state(OUTSTANDING, state(A, failures=1))
    assert takes_back
    assert (after.resume, after.settled) == (A, True)
    assert after_state(after, state(A, failures=1)) == (after, False)


def test_failures_that_were_there_before_the_offer_are_not_its_own() -> None:
    assert not after_state(replace(OUTSTANDING, failures=2), state(A, failures=2))[1]


def test_harm_is_seen_even_when_a_release_in_between_went_unseen() -> None:
    # Two failures, then a release that set them to zero, then its rollback: one failure, and A serves as before.
    assert after_state(replace(OUTSTANDING, failures=2), state(A, failures=1))[1]


def test_when_a_release_is_rolled_back_the_one_before_it_is_taken_back() -> None:
    live, _ = after_state(OUTSTANDING, state(OWN))
    after, takes_back = after_state(live, state(A, failures=1))
    assert takes_back
    assert (after.serving, after.resume) == (A, A)


def test_when_what_serves_is_rolled_back_under_an_open_offer_its_parent_is_taken_back() -> None:
    after, takes_back = after_state(OUTSTANDING, state(B, decided_step=5, failures=1))
    assert takes_back
    assert after.resume == B


def test_a_release_that_a_person_pins_is_taken_over() -> None:
    assert after_state(READY, state(OTHER))[1]
    # The own last candidate too, once its time had passed: the learner has gone elsewhere since.
    assert after_state(READY, state(OWN))[1]


@pytest.mark.parametrize(("progress", "decided_step"), [(READY, 4), (OUTSTANDING, 3), (OUTSTANDING, 0)])
def test_in_a_lineage_that_was_brought_in_again_it_begins_at_what_serves(progress: Progress, decided_step: int) -> None:
    anew = state(B, decided_step=decided_step)
    after, takes_back = after_state(progress, anew)
    assert takes_back
    assert after == Progress.first(anew)
    assert may(anew, after)


def test_the_first_progress_starts_from_what_serves() -> None:
    first = Progress.first(state(A))
    assert (first.step, first.serving, first.resume, first.trained) == (5, A, A, 0)
    assert after_state(first, state(A)) == (first, False)


def test_progress_survives_its_bytes() -> None:
    assert Progress.unpack(OUTSTANDING.pack()) == OUTSTANDING


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"releases": []}', b"\xff"])
def test_bytes_that_are_no_progress_are_refused(data: bytes) -> None:
    with pytest.raises(CheckpointError, match="`ol0 snapshots delete learner`"):
        Progress.unpack(data)


def test_an_offer_that_was_signed_with_another_key_is_not_waited_for() -> None:
    outstanding, waiting = replace(OUTSTANDING, signer="old"), state(A, decided_step=4)
    assert with_key(outstanding, waiting, "old") == outstanding
    after = with_key(outstanding, waiting, "new")
    assert (after.step, after.settled) == (4, True)
    assert may(waiting, after)
    # What was learnt for it is kept, and it counts neither for nor against what comes next.
    assert (after.resume, after.trained, after.turned_down) == (OWN, 640, 0)


def test_an_offer_that_was_believed_is_waited_for_whatever_key_there_is_now() -> None:
    outstanding = replace(OUTSTANDING, signer="old")
    staged = replace(state(A, decided_step=4), staged=Staged(replace(BASE_SERVES.live, digest=OWN), 0.5, 1))
    assert with_key(outstanding, staged, "new") == outstanding
    assert with_key(outstanding, state(OWN), "new") == outstanding
    assert after_state(with_key(outstanding, state(OWN), "new"), state(OWN))[0].releases == (B, A, OWN)


def test_the_lead_that_is_asked_for_falls_while_nothing_is_on_trial() -> None:
    config = OnlineLearningConfig(lead_errors=1.0, min_replay=1_000)
    for waits_from, first in ((0, 1_000), (5_000, 5_000)):
        leads = [lead_needed(config, examples=first + more, waits_from=waits_from) for more in (-500, 0, 2_000, 6_000)]
        assert leads == [1.0, 1.0, 0.5, 0.25]
    nothing = config.model_copy(update={"lead_errors": 0.0})
    assert lead_needed(nothing, examples=1_000, waits_from=0) == 0
