import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ol0.operator.figures import NO_LIFT, LiftInterval, Seen, Success
from ol0.operator.observation import Observation
from ol0.operator.text import MINUS
from ol0.records import Arm, Gate, Judgement, Reason, Verdict
from ol0.simulation.report.evidence import trials
from ol0.simulation.report.files import as_json, summary_text, wrapped, write_report
from ol0.simulation.report.model import EventTime, KindPolicy, Policy, Reconciliation, RunReport, RunVerdict
from ol0.simulation.report.page import html
from ol0.simulation.report.text import headline
from support.made_up_run import DECISIONS, LENGTH_S, made_up_report, watch


@pytest.fixture(scope="module")
def observation() -> Observation:
    return watch(LENGTH_S + 5)


@pytest.fixture(scope="module")
def report(observation: Observation) -> RunReport:
    return made_up_report(observation)


@pytest.fixture(scope="module")
def bare(report: RunReport) -> RunReport:
    """The report without anything to plot, which is what takes the time."""
    return replace(report, observation=replace(report.observation, series=(), verdicts=()))


@pytest.fixture(scope="module")
def page(report: RunReport) -> str:
    return html(report)


def test_a_lift_of_arms_that_are_not_heard_of_alike_proves_nothing(report: RunReport) -> None:
    uneven = with_lift(report, LiftInterval(0.3, 0.2, 0.4, doubt="0 of 60 users are in the arm, 54.0 are due"))
    assert any("0 of 60 users" in missing for missing in uneven.missing())


def with_lift(report: RunReport, lift: LiftInterval) -> RunReport:
    return replace(report, observation=replace(report.observation, lift=lift))


def without_releases(report: RunReport) -> RunReport:
    return replace(report, observation=replace(report.observation, releases=()))


def with_policy(report: RunReport, new_final: float, old_final: float) -> RunReport:
    new, old = KindPolicy(0.392, new_final, 0.243, 1.0), KindPolicy(0.709, old_final, 0.212, 1.0)
    return replace(report, policy=Policy(new, old))


def with_counts(report: RunReport, **counts: object) -> RunReport:
    return replace(report, reconciliation=replace(report.reconciliation, **counts))  # type: ignore[arg-type]


def with_approvals(report: RunReport, change: Callable[[Verdict], Verdict | None]) -> RunReport:
    """The first release with its approvals changed; None takes one away."""
    first, *others = report.observation.releases
    kept = tuple(changed for approval in first.approvals if (changed := change(approval)) is not None)
    return replace(report, observation=replace(report.observation, releases=(replace(first, approvals=kept), *others)))


def test_a_run_where_all_holds_has_passed(report: RunReport) -> None:
    assert (report.problems(), report.missing()) == ([], [])
    assert report.verdict is RunVerdict.PASSED


def test_decisions_that_do_not_add_up_are_a_problem(report: RunReport) -> None:
    (problem,) = with_counts(report, decisions=20_003).problems()
    assert problem == "20,003 decisions are not 19,996 outcomes + 4 dropped (too late) = 20,000: 3 missing."


def test_outcomes_that_do_not_add_up_are_a_problem(report: RunReport) -> None:
    (problem,) = with_counts(report, examples=15_903).problems()
    assert problem.endswith("= 19,997: 1 too many.")


def test_feedback_that_does_not_add_up_is_a_problem(report: RunReport) -> None:
    (problem,) = with_counts(report, feedback_used=17_000).problems()
    assert "17,204 feedback are not 17,000 used + 21 dropped (late) + 3 dropped (orphan)" in problem


def test_an_outcome_that_never_came_out_is_a_problem(report: RunReport) -> None:
    (problem,) = with_counts(report, outcomes_read=19_995).problems()
    assert "19,995 different ones read from the topic" in problem


def test_a_join_that_read_nothing_of_what_users_sent_is_a_problem(report: RunReport) -> None:
    # Each sum of nothing adds up: 0 = 0
    nothing = Reconciliation(0, 0, 0, 0, 0, 0, outcomes_read=0, decisions_sent=20_000, feedback_sent=17_204)
    assert replace(report, reconciliation=nothing).problems() == [
        "20,000 decisions that users sent are not 0 read by the join = 0: 20,000 missing.",
        "17,204 feedback that users sent are not 0 read by the join = 0: 17,204 missing.",
    ]
    assert with_counts(report, decisions_sent=20_000, feedback_sent=17_204).verdict is RunVerdict.PASSED


def test_nobody_having_counted_the_outcomes_is_none(report: RunReport) -> None:
    assert with_counts(report, outcomes_read=None).verdict is RunVerdict.PASSED


@pytest.mark.parametrize("low", [None, 0.0, -0.02])
def test_a_lift_that_is_not_proven_is_missing_and_no_problem(report: RunReport, low: float | None) -> None:
    short = with_lift(report, LiftInterval(0.1, low, 0.3))
    assert (short.verdict, short.problems()) == (RunVerdict.NOT_PROVEN, [])
    (missing,) = short.missing()
    assert missing.startswith("The lift over the holdback is not proven to be above 0: +10.0 %")


def test_no_lift_at_all_is_missing(report: RunReport) -> None:
    (missing,) = with_lift(report, NO_LIFT).missing()
    assert missing.endswith("not known yet.")


def test_a_lift_that_is_proven_to_be_below_zero_is_a_problem(report: RunReport) -> None:
    harmful = with_lift(report, LiftInterval(-0.1, -0.2, -0.05))
    (problem,) = harmful.problems()
    assert problem.startswith("The lift over the holdback is proven to be below 0: " + MINUS + "10.0 %")
    assert harmful.verdict is RunVerdict.FAILED
    assert "10.0 % worse than those of the holdback (at least 5.0 % worse)" in headline(harmful)


def test_no_release_is_missing(report: RunReport) -> None:
    (missing,) = without_releases(report).missing()
    assert missing == "Nothing was released: the base served to the end."


def test_what_the_base_did_is_not_told_of_what_was_learnt(report: RunReport) -> None:
    # Given a run in which nothing was released or tried, and the base's sessions went worse than its holdback's.
    arms = dict(report.observation.arms) | {Arm.STAGED: Success(None, None, 0, 0)}
    idle = with_lift(without_releases(report), LiftInterval(-0.04, -0.2, 0.1))
    idle = with_policy(replace(idle, observation=replace(idle.observation, arms=arms)), 0.392, 0.709)
    # Then the base is named, and nobody else.
    said = headline(idle)
    assert "nothing was released and the base still serves: success on new kinds of prompts is 39.2 %" in said
    assert "the base served everybody, and its sessions went 4.0 % worse than those of its holdback: by chance" in said
    assert "controller" not in said
    assert "served by the base, for nothing was released" in html(idle)


@pytest.mark.parametrize("gate", list(Gate))
def test_a_release_that_lacks_an_approval_is_a_problem(report: RunReport, gate: Gate) -> None:
    (problem,) = with_approvals(report, lambda verdict: None if verdict.gate is gate else verdict).problems()
    assert problem == f"Release {report.observation.releases[0].digest[:8]} (step 1) lacks the approval of {gate}."


def test_a_verdict_that_does_not_approve_is_no_approval(report: RunReport) -> None:
    held = with_approvals(report, lambda verdict: replace(verdict, judgement=Judgement.HOLD))
    assert len(held.problems()) == 2


def test_an_approval_of_another_checkpoint_is_no_approval(report: RunReport) -> None:
    other = report.observation.releases[1].digest
    assert len(with_approvals(report, lambda verdict: replace(verdict, digest=other)).problems()) == 2


def test_old_kinds_that_lose_more_than_a_point_are_a_problem(report: RunReport) -> None:
    assert with_policy(report, 0.58, 0.6995).verdict is RunVerdict.PASSED
    (problem,) = with_policy(report, 0.58, 0.698).problems()
    assert problem.startswith("Old kinds lost more than 1% of their ceiling: 70.9 % at first, 69.8 % at the end")


@pytest.mark.parametrize("final", [0.392, 0.3825])
def test_new_kinds_that_are_not_better_are_missing(report: RunReport, final: float) -> None:
    equal = with_policy(report, final, 0.709)
    assert (equal.problems(), equal.verdict) == ([], RunVerdict.NOT_PROVEN)
    assert equal.missing()[0].startswith("New kinds are not better than the base: 39.2 % at first")


def test_new_kinds_that_lose_more_than_a_point_are_a_problem(report: RunReport) -> None:
    (problem,) = with_policy(report, 0.38, 0.709).problems()
    assert problem.startswith("New kinds lost more than 1% of their ceiling: 39.2 % at first, 38.0 % at the end")


def test_without_right_answers_the_policy_is_not_judged(bare: RunReport) -> None:
    unknown = replace(bare, policy=None, seed=None)
    assert unknown.verdict is RunVerdict.PASSED
    assert as_json(unknown)["policy"] is None
    assert "new kinds" not in summary_text(unknown)
    assert "Success on new" not in html(unknown)


def test_the_files_say_what_a_machine_needs(report: RunReport, bare: RunReport, tmp_path: Path) -> None:
    few = replace(bare.observation, verdicts=report.observation.verdicts[:3])
    machine, people = write_report(replace(bare, observation=few), tmp_path / "reports")
    read = json.loads(machine.read_text(encoding="utf-8"))
    assert read["verdict"] == "passed"
    assert (read["reasons"], read["missing"], read["event_time"]) == ([], [], None)
    assert read["lift"].keys() >= {"estimate", "low", "high"}
    assert read["policy"] == {
        "new": {"base": 0.392, "final": 0.581, "single": 0.243, "ceiling": 0.95},
        "old": {"base": 0.709, "final": 0.705, "single": 0.212, "ceiling": 0.95},
    }
    assert read["reconciliation"]["decisions_dropped"] == {"too late": 4}
    assert read["restarts"] == {"feedback": 1, "learner": 1, "canary": 0}
    assert (read["seed"], read["duration_s"], read["data"]) == (0, LENGTH_S + 5, "real prompts of debian_sections")
    first = read["releases"][0]
    assert first.keys() == {"digest", "step", "time", "approvals"}
    assert {approval["gate"] for approval in first["approvals"]} == {"canary", "drift"}
    assert first["approvals"][0].keys() >= {"gate", "stage", "judgement", "reasons"}
    assert len(read["verdicts"]) == 3
    assert people.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_failed_run_says_why_everywhere(bare: RunReport) -> None:
    failed = with_counts(bare, decisions=20_003)
    (problem,) = failed.problems()
    assert as_json(failed)["verdict"] == "failed"
    assert as_json(failed)["reasons"] == [problem]
    assert problem in summary_text(failed)
    assert summary_text(failed).startswith("Failed: 1 problem.")
    assert problem in html(failed)
    assert "✗" in html(failed)


def test_a_run_that_was_too_short_says_so_everywhere(bare: RunReport) -> None:
    few = with_lift(replace(bare, observation=replace(bare.observation, decisions=3_000)), NO_LIFT)
    (missing,) = few.missing()
    read, said, page = as_json(few), summary_text(few), html(few)
    assert (read["verdict"], read["reasons"], read["missing"]) == ("not proven", [], [missing])
    assert said.startswith("Not proven: no check failed, but not everything was proven; some 12,000 decisions prove")
    assert missing in said
    assert missing in page
    assert "<strong>Not proven</strong>" in page
    assert page.count('<td class="mark unknown">?') == 1
    assert "✗" not in page


def test_a_long_run_that_shows_nothing_is_not_told_to_be_longer(bare: RunReport) -> None:
    assert summary_text(with_lift(bare, NO_LIFT)).startswith(
        "Not proven: no check failed, but not everything was proven."
    )


def test_a_problem_weighs_more_than_what_is_missing(bare: RunReport) -> None:
    both = with_lift(with_counts(bare, decisions=20_003), NO_LIFT)
    assert both.verdict is RunVerdict.FAILED
    assert all(text in summary_text(both) for text in (*both.problems(), *both.missing()))


def test_event_time_is_told_as_it_was_played(bare: RunReport) -> None:
    day = replace(bare, event_time=EventTime(scale=144, asked_s=86_400, asking_s=90_000, played_s=91_000))
    line = "24:00:00 asked for; users asked for 25:00:00, everything had settled after 25:16:40 (144 to 1)"
    assert f"  event time  {line}" in summary_text(day).splitlines()
    assert line in html(day)
    assert as_json(day)["event_time"] == {"scale": 144, "asked_s": 86_400, "asking_s": 90_000, "played_s": 91_000}


def test_the_summary_is_ten_to_fifteen_lines_of_a_hundred_columns(report: RunReport) -> None:
    lines = summary_text(report).splitlines()
    assert 10 <= len(lines) <= 15
    assert max(map(len, lines)) <= 100
    assert "  decisions   20,000 = 19,996 outcomes + 4 dropped (4 too late)" in lines


@pytest.mark.parametrize("width", [40, 80])
def test_on_a_narrow_terminal_the_summary_wraps_between_words_and_below_its_own(report: RunReport, width: int) -> None:
    summary = summary_text(with_counts(with_lift(report, NO_LIFT), decisions=20_003))
    lines = wrapped(summary, width).splitlines()
    assert max(map(len, lines)) <= width
    assert " ".join(" ".join(lines).split()) == " ".join(summary.split())
    assert all(re.match(r" {14}\S| {4}\S|  \w|  - |\S", line) for line in lines)


def test_what_could_be_had_stands_beside_what_was_reached(bare: RunReport) -> None:
    yardsticks = "best single expert 24.3 % (new), 21.2 % (old); ceiling 95.0 %, 95.0 %"
    assert f"  yardsticks  {yardsticks}" in summary_text(bare).splitlines()
    page = html(bare).replace("\N{NO-BREAK SPACE}", " ")
    cells = re.findall(r'<tr><td class="name">(new|old) kinds</td>(.*?)</tr>', page)
    found = {kind: re.findall(r">([\d.]+ %)<", row) for kind, row in cells}
    assert found == {"new": ["24.3 %", "39.2 %", "58.1 %", "95.0 %"], "old": ["21.2 %", "70.9 %", "70.5 %", "95.0 %"]}


def test_where_rewards_are_rare_a_small_loss_is_a_large_one(report: RunReport) -> None:
    rare = replace(
        report, policy=Policy(KindPolicy(0.005, 0.006, 0.005, 0.007), KindPolicy(0.005, 0.004, 0.005, 0.007))
    )
    (problem,) = rare.problems()
    assert problem.startswith("Old kinds lost more than 1% of their ceiling: 0.50 % at first, 0.40 % at the end")


def test_the_page_needs_nothing_but_itself(page: str) -> None:
    assert not re.search(r"https?://|//www|@import|url\((?!#)", page)
    assert not re.search(r"<(link|script|iframe|img|object)\b", page)
    assert not re.search(r'\bsrc="(?!data:)', page)
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', page))


def test_the_page_begins_with_the_verdict_and_its_figures(page: str, report: RunReport) -> None:
    top = page[: page.index("<h2>Checks")].replace("\N{NO-BREAK SPACE}", " ")
    assert "<strong>Passed</strong>" in top
    assert f"After {DECISIONS:,} decisions" in top
    assert "from 39.2 % to 58.1 %" in top
    assert "35.0 % better than those of the holdback (at least 25.2 %)" in headline(report)


def test_what_there_was_none_of_is_left_out_of_the_sums(bare: RunReport) -> None:
    dropped = {"too late": 4, "duplicate": 0}
    page = html(with_counts(bare, decisions_dropped=dropped, null_rewards=0, examples=0, outcomes=0, decisions=4))
    assert "<b>4</b> decisions</td><td>= 4 dropped (too late)</td>" in page
    assert "<b>0</b> outcomes</td><td>= 0</td>" in page
    assert "duplicate" not in page


def test_a_lift_below_zero_is_called_worse(report: RunReport) -> None:
    assert "4.0 % worse than those of the holdback (not proven)" in headline(
        with_lift(report, LiftInterval(-0.04, -0.2, 0))
    )


def test_the_page_has_its_four_plots_for_two_widths_and_all_its_tables(page: str, report: RunReport) -> None:
    assert page.count("<svg") == 2 * 4
    for release in report.observation.releases:
        assert release.digest in page
    assert page.count("mean KL from the base") >= 2 * len(report.observation.releases)
    assert "feedback 1 time, learner 1 time" in page
    assert "kill -9 of the learner" in page
    assert "safety.max_stage" in page


def test_the_page_escapes_what_records_say(report: RunReport, bare: RunReport) -> None:
    evil = Reason("kl", 0.1, None, None, "<script>alert(1)</script>")
    seen = replace(report.observation.verdicts[0].record, reasons=(evil,))
    told = html(replace(bare, observation=replace(bare.observation, verdicts=(Seen(1.0, seen),))))
    assert "<script>" not in told
    assert "&lt;script&gt;" in told


def test_a_run_that_never_began_has_a_page_too() -> None:
    empty = made_up_report(watch(0))
    assert "Nothing was released" in html(empty)
    assert empty.verdict is RunVerdict.NOT_PROVEN


def test_the_evidence_of_a_trial_goes_from_its_first_look_to_its_last(observation: Observation) -> None:
    first = trials(observation)[0]
    assert first.title == "step 1, stage 1: approved"
    assert list(first.sessions) == [252, 504, 756, 1_008]
    assert first.bounds[-1] == -0.011
    assert first.threshold == -0.02


def test_a_trial_that_harm_ended_shows_what_was_seen_before(observation: Observation) -> None:
    (harmful,) = [trial for trial in trials(observation) if trial.title.endswith("rolled back")]
    assert len(harmful.sessions) == 3


def test_it_is_said_until_when_the_base_was_live(report: RunReport, page: str) -> None:
    first = report.observation.releases[0]
    minutes, seconds = divmod(int(first.at_s), 60)
    assert headline(report).endswith(f"; until {minutes}:{seconds:02d} the base was live.")
    assert f"served by the newest release; until {minutes}:{seconds:02d} by the base" in page
