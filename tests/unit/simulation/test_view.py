import doctest
import io
import re
from dataclasses import replace
from types import ModuleType

import pytest
from rich.console import Console

from ol0.operator import screen as screens
from ol0.operator import text
from ol0.operator.figures import LiftInterval, deciding_reason
from ol0.operator.narration import news, now_sentence
from ol0.operator.observation import Observation
from ol0.operator.screen import HEIGHT, screen, sparkline
from ol0.operator.text import MINUS, lift_text, reason_text, signed_points, transition_sentence, verdict_sentence
from ol0.records import Digest, Gate, Judgement, Phase, Reason, Transition, Verdict
from ol0.release.state import verdict_cause
from ol0.simulation.view import LiveView, PlainView, make_view
from support.made_up_run import difference, digest, divergence, verdict, watch, whole_run

WIDTH = 100


def drawn(now: Observation, width: int = WIDTH, height: int = HEIGHT) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, record=True, force_terminal=True)
    console.print(screen(now, height))
    return console.export_text()


def figure_of(verdict: Verdict) -> str:
    reason = deciding_reason(verdict)
    assert reason is not None
    return reason_text(reason)


def plain(*observations: Observation) -> list[str]:
    out = io.StringIO()
    with PlainView(Console(file=out, width=80)) as view:
        for now in observations:
            view.show(now)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("moment_s", [0, 1, 21, 78, 124])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 32), (160, 50)])
def test_the_screen_fits_its_window_and_cuts_nothing(moment_s: int, width: int, height: int) -> None:
    lines = drawn(watch(moment_s), width, height).splitlines()
    assert len(lines) == min(height, HEIGHT)
    assert max(map(len, lines)) == width
    assert not any("…" in line for line in lines)


@pytest.mark.parametrize(("width", "height", "rows"), [(80, 24, 3), (160, 24, 7), (160, 50, 7)])
def test_a_low_window_shows_fewer_candidates_and_the_newest_of_them(width: int, height: int, rows: int) -> None:
    now = watch(124)
    text = drawn(now, width, height)
    shown = [story for story in now.candidates if re.search(rf"^{story.digest[:8]} ", text, re.MULTILINE)]
    assert shown == list(now.candidates[-rows:])


def test_the_screen_does_not_jump_when_candidates_come() -> None:
    before, after = watch(2), watch(100)
    assert len(drawn(before).splitlines()) == len(drawn(after).splitlines())


def test_the_screen_shows_progress_arms_lift_serving_state_and_candidates() -> None:
    text = drawn(watch(78))
    assert "13,026 of 20,000 decisions" in text
    assert re.search(r"live +\d\d\.\d %", text)
    assert "+32.1 %, between +19.7 % and +47.0 %" in text
    assert f"staged   {digest('candidate 4')[:8]} (stage 1, 50 %)" in text
    assert re.search(rf"approve, staged 1: \+5\.1 points, at least {MINUS}1\.1 +approve: kl 0\.032 +live", text)
    assert "sessions" in text.splitlines()[-1]


def test_what_happens_now_names_the_trial_and_how_far_it_is() -> None:
    name = digest("candidate 4")[:8]
    expected = f"Candidate {name} is on trial with 50 % of the sessions: 504 of about 1,000 sessions."
    assert now_sentence(watch(77)) == expected


def test_what_happens_now_names_the_gates_that_a_candidate_waits_for() -> None:
    now = watch(18)
    (story,) = now.candidates
    half = replace(now, candidates=(replace(story, verdicts={Gate.DRIFT: verdict("x", Gate.DRIFT, Judgement.HOLD)}),))
    assert "waits for canary and drift" in now_sentence(now)
    assert now_sentence(half).endswith("waits for canary.")


def test_what_happens_now_says_when_releases_are_frozen() -> None:
    now = watch(36)
    assert now.serving is not None
    said = now_sentence(replace(now, serving=replace(now.serving, frozen=True)))
    assert said.startswith("Releases are frozen until `ol0 releases thaw`: by an order")


def test_the_base_is_offered_by_the_warm_up_and_not_by_the_learner() -> None:
    (story,) = watch(18).candidates
    base = replace(story, digest=digest("base"), parent=digest("base"), step=0)
    told = [text for _, text in news(None, replace(watch(18), candidates=(base, story)))]
    assert f"The warm-up offers the base {digest('base')[:8]}." in told
    assert f"The learner offers candidate {story.digest[:8]}, step 1, on {digest('base')[:8]}." in told


def test_a_figure_too_small_to_matter_is_shown_as_zero() -> None:
    assert figure_of(verdict("x", Gate.DRIFT, Judgement.APPROVE, divergence(2.5e-8))).endswith("kl 0.000")


def test_without_a_terminal_every_line_is_a_time_and_a_sentence() -> None:
    lines = plain(*whole_run()[:125])
    assert all(re.fullmatch(r" *\d+:\d\d  [A-Z0-9].*\.", line) for line in lines)


def test_without_a_terminal_every_event_is_told_once() -> None:
    lines = plain(*whole_run()[:80])
    told = [line for line in lines if digest("candidate 1")[:8] in line]
    assert [
        sum(word in line for line in told) for word in ("offers", "approves", "starts its trial", "serves now")
    ] == [
        1,
        3,
        1,
        1,
    ]
    assert sum("Service feedback was restarted, 1 time so far." in line for line in lines) == 1
    assert not any("waits for evidence" in line for line in lines)


def test_without_a_terminal_the_status_comes_every_few_seconds() -> None:
    status = [line for line in plain(*whole_run()[:31]) if "decisions made" in line]
    assert len(status) == 7
    assert "success now: live" in status[-1]


def test_the_view_fits_what_it_writes_to() -> None:
    assert isinstance(make_view(Console(file=io.StringIO())), PlainView)
    assert isinstance(make_view(Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"})), LiveView)


def test_the_live_view_leaves_its_last_screen() -> None:
    out = io.StringIO()
    with LiveView(Console(file=out, force_terminal=True, width=WIDTH, height=40)) as view:
        view.show(watch(20))
        view.say("The broker is stopped for ten seconds.")
    assert "of 20,000 decisions" in out.getvalue()
    assert "The broker is stopped" in out.getvalue()


def test_a_sparkline_has_the_lowest_bar_for_low_and_a_blank_for_nothing() -> None:
    assert sparkline([0.4, None, 0.6], 0.4, 0.6) == "▁ █"
    assert sparkline([0.4], 0.4, 0.4) == "▁"


def test_a_verdict_that_stops_a_candidate_shows_its_upper_bound() -> None:
    reason = Reason("harm", -0.058, -0.008, 0.0, "worse than live")
    text = figure_of(verdict("x", Gate.CANARY, Judgement.ROLLBACK, reason, stage=1))
    assert text == f"{MINUS}5.8 points, at most {MINUS}0.8"


def test_a_verdict_shows_the_first_reason_that_has_a_figure() -> None:
    waiting = Reason("waiting", None, None, None, "no state yet")
    assert "kl 0.031" in figure_of(verdict("x", Gate.DRIFT, Judgement.APPROVE, waiting, divergence(0.031)))
    assert figure_of(verdict("x", Gate.CANARY, Judgement.HOLD, waiting)).endswith("no state yet")


def test_how_long_a_stage_runs_is_not_what_a_verdict_turned_on() -> None:
    unknown = Reason("staged_live", None, None, -0.02, "against live: not known yet")
    since = Reason("since", 12.0, None, 20_000.0, "stage 1 runs since noon, with 12 decisions so far")
    text = figure_of(verdict("x", Gate.CANARY, Judgement.HOLD, unknown, since, stage=1))
    assert text == "against live: not known yet"


def test_a_rejection_by_drift_shows_the_figure_that_is_beyond_its_limit() -> None:
    norm = Reason("norm", 2.5, None, 2.0, "too far")
    assert figure_of(verdict("x", Gate.DRIFT, Judgement.REJECT, divergence(0.03), norm)) == "norm 2.5"


def test_counts_are_written_in_full() -> None:
    reason = Reason("undecided", 4_000.0, None, 4_000.0, "nothing was shown")
    assert "undecided 4,000" in figure_of(verdict("x", Gate.CANARY, Judgement.REJECT, reason, stage=1))


def test_a_verdict_in_a_sentence_says_who_what_when_and_why() -> None:
    text = verdict_sentence(verdict("x", Gate.CANARY, Judgement.APPROVE, difference(0.02, 0.0), stage=1, evidence=900))
    assert text.startswith(
        f"Canary approves {digest('x')[:8]} at stage 1, after 900 sessions: against live: +2.0 points"
    )


@pytest.mark.parametrize("cause", ["jo ordered rollback: complaints", "canary says approve at stage 1 on 900"])
def test_a_transition_tells_its_cause(cause: str) -> None:
    told = transition_sentence(Transition(Digest("f" * 64), None, Phase.LIVE, cause, 0, 1, 1))
    assert told == f"Checkpoint ffffffff is released and serves now: {cause}."


def test_a_transition_whose_verdicts_were_told_leaves_their_reasons_out() -> None:
    now = watch(30)
    seen = now.transitions[-1]
    approvals = [v.record for v in now.verdicts if v.record.judgement is Judgement.APPROVE][:2]
    causes = [verdict_cause(approval) for approval in approvals]
    for cause in (causes[0], "; ".join(causes)):
        told = replace(now, transitions=(replace(seen, record=replace(seen.record, cause=cause)),))
        assert [text for _, text in news(None, told) if text.endswith(f"serves now: {cause}.")] == []
    ordered = replace(now, transitions=(replace(seen, record=replace(seen.record, cause="jo ordered pin: calm")),))
    assert [text for _, text in news(None, ordered) if text.endswith("jo ordered pin: calm.")] != []


def test_the_lift_is_open_where_there_is_no_evidence() -> None:
    assert lift_text(LiftInterval(None, None, None)) == "not known yet"
    assert lift_text(LiftInterval(0.1, None, None)) == "+10.0 %, with no evidence for an interval yet"
    assert lift_text(LiftInterval(0.1, None, 0.2)) == "+10.0 %, at most +20.0 %"


def test_nothing_is_shown_as_minus_zero() -> None:
    assert signed_points(-0.0001) == "0.0"


@pytest.mark.parametrize("module", [text, screens], ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_are_right(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0
