"""The sentences of a report that name who did what: on the page and on the terminal the same."""

from ol0.operator.figures import LiftInterval
from ol0.operator.observation import Observation
from ol0.operator.text import clock, percent, plural, sentence
from ol0.records import Arm
from ol0.simulation.report.model import ENOUGH_DECISIONS, EventTime, KindPolicy, Policy, RunReport, RunVerdict


def closing_text(report: RunReport) -> str:
    """The verdict in a sentence, which its reasons follow."""
    match report.verdict:
        case RunVerdict.PASSED:
            return "all checks hold."
        case RunVerdict.NOT_PROVEN:
            few = report.observation.decisions < ENOUGH_DECISIONS
            more = f"; some {ENOUGH_DECISIONS:,} decisions prove a lift more often" if few else ""
            return sentence(f"no check failed, but not everything was proven{more}")
        case RunVerdict.FAILED:
            return sentence(plural(len(report.problems()), "problem"))


def event_time_text(time: EventTime) -> str:
    """How much was played, beside what was asked for."""
    asked, asking, played = (clock(seconds) for seconds in (time.asked_s, time.asking_s, time.played_s))
    return f"{asked} asked for; users asked for {asking}, everything had settled after {played} ({time.scale:g} to 1)"


def headline(report: RunReport) -> str:
    """The verdict in one sentence, with the figures that matter most."""
    now, policy = report.observation, report.policy
    parts = [] if policy is None else [_policy_sentence(policy, released=bool(now.releases))]
    parts.append(_lift_sentence(now.lift, learnt=_learnt_served(now)))
    if now.releases:
        parts.append(f"until {clock(now.releases[0].at_s)} the base was live")
    return sentence(f"After {plural(now.decisions, 'decision')}, {'; '.join(parts)}")


def yardsticks(policy: Policy) -> str:
    """What could be had, on new kinds and on old ones."""
    new, old = policy.new, policy.old
    return (
        f"best single expert {percent(new.single)} (new), {percent(old.single)} (old); "
        f"ceiling {percent(new.ceiling)}, {percent(old.ceiling)}"
    )


def base_text(old: KindPolicy) -> str:
    """What the base brings before anything is learnt, and what could be had."""
    return sentence(
        f"The base's success on the old kinds is {percent(old.base)}; the best single expert's is "
        f"{percent(old.single)}, that of the best expert for each prompt, the ceiling, {percent(old.ceiling)}"
    )


def _policy_sentence(policy: Policy, *, released: bool) -> str:
    new, old = policy.new, policy.old
    if not released:
        return (
            f"nothing was released and the base still serves: success on new kinds of prompts is "
            f"{percent(new.final)}, on the old kinds {percent(old.final)}"
        )
    return (
        f"the controller's success on new kinds of prompts went from {percent(new.base)} to {percent(new.final)}, "
        f"on the old kinds from {percent(old.base)} to {percent(old.final)}"
    )


def _lift_sentence(lift: LiftInterval, *, learnt: bool) -> str:
    """Where nothing that was learnt has served, a difference is the base's against itself: chance, and said so."""
    if lift.estimate is None:
        return "whether sessions went better than those of the holdback is not known yet"
    how = f"{percent(abs(lift.estimate))} {'better' if lift.estimate >= 0 else 'worse'}"
    if not learnt:
        return f"the base served everybody, and its sessions went {how} than those of its holdback: by chance"
    return f"sessions of live and staged went {how} than those of the holdback ({_proof(lift)})"


def _proof(lift: LiftInterval) -> str:
    if lift.low is not None and lift.low > 0:
        return f"at least {percent(lift.low)}"
    if lift.high is not None and lift.high < 0:
        return f"at least {percent(-lift.high)} worse"
    return "not proven"


def _learnt_served(now: Observation) -> bool:
    """Whether anything but the base decided: live after a release, or a candidate on trial."""
    return bool(now.releases) or now.arms[Arm.STAGED].outcomes > 0
