"""The parts of the page, made from records."""

from dataclasses import replace

import pytest

from ol0.console.observing.comparisons import Comparisons
from ol0.console.view.accounts import DECISION_REMEDIES, FEEDBACK_REMEDIES, accounts
from ol0.console.view.candidates import candidates
from ol0.console.view.groups import groups
from ol0.console.view.lift import lift_panel
from ol0.console.view.loops import loops
from ol0.console.view.page import page_of
from ol0.console.view.serving import serving_panel
from ol0.console.view.timeline import timeline
from ol0.console.view.words import Tone
from ol0.operator.figures import LiftInterval
from ol0.operator.text import DASH, MINUS
from ol0.records import OperatorCommand, OperatorKind, Partition, Phase
from ol0.replay.counters import DecisionDrop, FeedbackDrop
from support.made_up_run import digest, transition
from unit.console import pictures
from unit.console.pictures import ENDS, HOUR_MS, MINUTE_MS, NOON_MS, SETTINGS, known


def test_what_serves_is_told_since_it_came_to_serve_and_not_since_the_last_state() -> None:
    # Given a release of 80 minutes ago, and serving states after it.
    panel = serving_panel(pictures.on_trial().picture().known, NOON_MS)
    assert panel is not None
    assert (panel.digest, panel.step, panel.is_base) == (digest("one"), 1, False)
    assert panel.since == "2026-11-28 10:40:00Z, 1 h 20 min ago"
    facts = {fact.name: fact.text for fact in panel.facts}
    assert facts["on trial"] == f"{digest('three')[:8]} (step 3), stage 1, 50 % of sessions"
    assert facts["candidates"] == "may advance"


def test_a_frozen_lineage_says_so_and_tells_no_cooldown() -> None:
    panel = serving_panel(pictures.frozen().picture().known, NOON_MS)
    assert panel is not None
    facts = {fact.name: fact.text for fact in panel.facts}
    assert facts["candidates"] == "frozen"
    assert "cooldown" not in facts


def test_a_gate_that_waits_says_how_much_evidence_is_missing() -> None:
    newest = candidates(pictures.on_trial().picture().known, NOON_MS, full=False).shown[0]
    assert (newest.phase, newest.is_open) == ("on trial", True)
    canary, drift = newest.gates
    (missing,) = canary.missing
    assert missing.share == pytest.approx(612 / 1_022)
    assert missing.text == "against live: 612 of about 1,022 sessions; 410 missing"
    assert (drift.word, drift.missing) == ("approves", ())


def test_the_checks_of_a_gate_have_figure_bound_limit_and_words_and_the_one_that_decided() -> None:
    rejected = candidates(pictures.on_trial().picture().known, NOON_MS, full=False).shown[1]
    assert (rejected.phase, rejected.tone, rejected.is_open) == ("rejected", Tone.BAD, False)
    (check,) = rejected.gates[0].checks
    assert (check.name, check.figure, check.bound, check.limit) == (
        "suite base",
        *(f"{MINUS}{it}" for it in (3.1, 4.3, 2.0)),
    )
    assert check.decides
    assert "loses on the suite" in check.text
    assert rejected.summary.startswith(f"canary rejects, offline: {MINUS}3.1 points")


def test_a_candidate_that_fell_without_a_verdict_against_it_says_why() -> None:
    newest = candidates(pictures.rolled_back("ann ordered rollback: complaints").picture().known, NOON_MS, full=False)
    assert (newest.shown[0].phase, newest.shown[0].summary) == ("rolled back", "ann ordered rollback: complaints")


def test_of_many_candidates_the_newest_are_shown_and_the_others_counted() -> None:
    story = pictures.learning()
    for step in range(1, 41):
        story.offer(f"c{step}", step, NOON_MS - (41 - step) * MINUTE_MS)
    few, all_of_them = (candidates(story.picture().known, NOON_MS, full=full) for full in (False, True))
    assert (len(few.shown), few.hidden, few.total) == (12, 29, 41)
    assert (len(all_of_them.shown), all_of_them.hidden) == (41, 0)
    assert few.shown[0].step == 40


def test_a_rollback_is_one_line_with_what_serves_instead_and_its_cause() -> None:
    newest, released, *_ = timeline(pictures.rolled_back().picture().known, NOON_MS, full=False).shown
    assert (newest.what, newest.tone) == ("Rolled back", Tone.BAD)
    fallen, risen = digest("three")[:8], digest("one")[:8]
    assert newest.line == f"{fallen} (step 3) was live and never serves again; {risen} (step 1) serves again."
    assert newest.cause.startswith("drift says rollback")
    assert [step.text for step in newest.life][-1] == "live → quarantined"
    assert (released.what, len(released.approvals)) == ("Released", 2)
    assert released.line == f"{fallen} (step 3) serves in place of {risen}."


def test_a_digest_that_begins_with_a_letter_keeps_it_small() -> None:
    story = pictures.learning()
    story.release(name := next(it for it in map(str, range(99)) if digest(it)[0].isalpha()), 1, NOON_MS)
    released, base = timeline(story.picture().known, NOON_MS, full=False).shown
    assert released.line.startswith(f"{digest(name)[:8]} (step 1) serves in place of")
    assert base.line == f"The base {digest('base')[:8]} serves."


def test_an_order_that_moves_no_checkpoint_is_a_line_too_but_a_forgotten_user_is_none() -> None:
    story = pictures.frozen()
    story.records.append(OperatorCommand(OperatorKind.FORGET, "pseudonym", "bob", "asked", NOON_MS - 1_000))
    newest = timeline(story.picture().known, NOON_MS, full=False).shown[0]
    assert (newest.what, newest.line) == ("Frozen", "ann ordered freeze: launch day.")


def test_a_pinned_release_is_reinstated_and_not_released() -> None:
    story = pictures.released()
    story.sequence += 1
    moves = [transition("three", Phase.SUPERSEDED), transition("one", Phase.LIVE, "ann ordered pin: known to be good")]
    before = [Phase.LIVE, Phase.SUPERSEDED]
    story.records += [
        replace(move, from_phase=phase, time_ms=NOON_MS, serving_sequence=story.sequence)
        for move, phase in zip(moves, before, strict=True)
    ]
    newest = timeline(story.picture().known, NOON_MS, full=False).shown[0]
    assert (newest.what, newest.approvals) == ("Reinstated", ())
    assert newest.line.endswith(f"serves again in place of {digest('three')[:8]}.")


def test_transitions_that_are_read_twice_are_told_once() -> None:
    records = pictures.released().records
    assert len(known([*records, *records]).transitions) == len(known(records).transitions)


@pytest.mark.parametrize(
    ("lift", "tone", "interval"),
    [
        (LiftInterval(0.264, 0.21, 0.319), Tone.GOOD, "+21.0 % to +31.9 %"),
        (LiftInterval(-0.2, -0.3, -0.1), Tone.BAD, f"{MINUS}30.0 % to {MINUS}10.0 %"),
        (LiftInterval(0.1, -0.1, None), Tone.QUIET, f"at least {MINUS}10.0 %"),
        (LiftInterval(0.1, None, 0.4), Tone.QUIET, "at most +40.0 %"),
        (LiftInterval(0.1, None, None), Tone.QUIET, "no interval yet"),
        (LiftInterval(0.1, None, None, doubt="arms are not heard of alike"), Tone.OPEN, ""),
        (LiftInterval(None, None, None), Tone.QUIET, ""),
    ],
)
def test_a_lift_is_proven_where_its_interval_excludes_zero(lift: LiftInterval, tone: Tone, interval: str) -> None:
    panel = lift_panel(replace(pictures.learning().picture().known, lift=lift), NOON_MS)
    assert (panel.tone, panel.interval) == (tone, interval)


def test_groups_have_their_difference_in_points_and_none_where_one_side_is_unknown() -> None:
    rows = {row.group: row for row in groups(pictures.learning().picture().known.comparisons, full=True).rows}
    assert [rows[name].difference for name in ("games", "web", "fonts")] == ["+18.1", f"{MINUS}1.4", DASH]
    assert next(iter(rows)) == "games"  # most decisions first


def test_of_many_groups_those_with_most_decisions_are_shown() -> None:
    one = pictures.GROUPS["games"]
    many = Comparisons(groups={f"g{n}": replace(one, treated=replace(one.treated, decisions=n)) for n in range(40)})
    few = groups(many, full=False)
    assert (len(few.rows), few.hidden, few.total, few.rows[0].group) == (12, 28, 40, "g39")
    assert groups(many, full=True).hidden == 0


def test_every_reason_for_a_drop_has_a_meaning_and_a_remedy() -> None:
    assert set(DECISION_REMEDIES) == set(DecisionDrop)
    assert set(FEEDBACK_REMEDIES) == set(FeedbackDrop)


def test_drops_are_counted_with_their_share_and_what_helps_and_none_is_shown_that_did_not_happen() -> None:
    view = accounts(pictures.stats(), pictures.LETTERS, NOON_MS)
    rows = {(row.what, row.reason): row for row in view.drops}
    assert set(rows) == {("decisions", "late"), *(("feedback", it) for it in ("late", "superseded", "orphan"))}
    assert (rows["feedback", "orphan"].count, rows["feedback", "orphan"].share) == ("127", "0.47 %")
    assert "router.account" in rows["feedback", "orphan"].remedy
    assert view.letters is not None
    assert view.letters[0].command == "ol0 dlq show feedback.user 0 17322"
    assert view.store is not None
    assert view.store.problems == ()


def test_a_sum_that_does_not_add_up_is_told() -> None:
    stats = pictures.stats()
    wrong = replace(stats, counters=replace(stats.counters, decisions=1))
    view = accounts(wrong, None, NOON_MS)
    assert view.store is not None
    assert any(text.startswith("does not add up: decisions") for text in view.store.problems)
    assert view.letters is None


def test_a_loop_is_behind_by_the_records_that_its_own_snapshot_has_not_reached() -> None:
    rows = {row.service: row for row in loops(pictures.learning().picture(), NOON_MS).rows}
    assert list(rows) == ["feedback", "learner", "canary", "drift", "release", "evaluator"]
    # A marker of a transaction is no record: canary has read everything.
    assert (rows["canary"].behind, rows["canary"].where) == ("0", "all of 1 partition read")
    assert (rows["release"].behind, rows["release"].tone) == ("1,282", Tone.OPEN)
    assert rows["release"].where == "shop.verdicts.v1[0]: 1,282 records"
    assert rows["feedback"].behind == "0"
    assert rows["learner"].where == "has written nothing yet"
    assert rows["evaluator"].where == "its snapshot does not say where it is"  # an older version wrote it


def test_a_loop_whose_logs_have_no_known_end_is_not_said_to_have_read_them() -> None:
    ends = dict.fromkeys(ENDS, None)
    rows = {row.service: row for row in loops(pictures.learning().picture(ends=ends), NOON_MS).rows}
    assert (rows["canary"].behind, rows["canary"].where) == (DASH, "the broker does not say where its logs end")


def test_what_holds_event_time_back_is_told() -> None:
    held = {"shop.decisions.v1[0]": "no feedback process reads it", "shop.feedback.user.v1[0]": ""}
    view = loops(pictures.learning().picture(holdups=held), NOON_MS)
    assert view.holdups == ("shop.decisions.v1[0]: no feedback process reads it",)
    assert view.event_time == "2026-11-28 11:58:59Z, 1 min behind the clock"


def test_the_same_picture_at_the_same_time_is_the_same_page() -> None:
    picture = pictures.rolled_back().picture()
    assert page_of(picture, SETTINGS, NOON_MS) == page_of(picture, SETTINGS, NOON_MS)
    assert page_of(picture, SETTINGS, NOON_MS) != page_of(picture, SETTINGS, NOON_MS + HOUR_MS)
    assert Partition("shop.outcomes.v1", 0) in picture.ends
