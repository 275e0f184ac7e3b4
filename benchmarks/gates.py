"""What do the gates say when they do not hear everything? 200 trials each, on the real gate, in process.

    python -m benchmarks.gates [--runs 200] [--only WORD]

Sessions of three decisions on average (geometric, 12 at the most); half of the decisions are such that candidate and
live act differently. Live succeeds in 80 % where nothing else is said, four in five decisions are voted on, the
holdback is 10 %, and a stage ends undecided after 2,000 decisions (good ones 6,000; two stages 10,000). Four hosts
number their decisions as the SDK does, where nothing else is said, and lose them after that. "Before" is the same trial
judged by votes alone, as the gate did until it asked whether it hears of the arms alike: moment for moment the same
evidence. Prints the table of results.md; half an hour on one core.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from statistics import median
from typing import Final

from ol0.canary.handler import CanaryGate
from ol0.canary.judge import is_final, judge
from ol0.canary.plan import TrialPlan
from ol0.canary.trial import Trial, TrialState
from ol0.canary.votes import Vote
from ol0.config import SafetyConfig, StageConfig
from ol0.controller.numbering import new_prefix, numbered_id
from ol0.records import Arm, DecisionId, Judgement, Outcome, Record, ServingState, Tick, Verdict
from testbed.worlds import START_MS, WINDOW_MS, make_base, make_candidate, make_suite, outcome, serving_state

BASE: Final = make_base()
CANDIDATE: Final = make_candidate(BASE)
SUITE: Final = make_suite(prompts=200)
TEMPLATE: Final = outcome(staged=CANDIDATE.digest, greedy_base=(0,), greedy_live=(0,))
DIFFERING: Final = 0.5
LONGEST: Final = 12
HOUR_MS: Final = 3_600_000
HOSTS: Final = 4
PREFIXES: Final = tuple(new_prefix(f"{host:010x}") for host in range(HOSTS))
NOW_MS: Final = TEMPLATE.window_end_ms + HOUR_MS


@dataclass(frozen=True)
class Case:
    """One kind of trial.

    Attributes:
        name: as it stands in the table.
        live: share of live's decisions that succeed.
        gain: what the candidate adds.
        voted: share of decisions that are voted on.
        censored: share of the candidate's failures that nobody reports.
        lost: share of the candidate's sessions that are never logged.
        failures_lost: share of its failing decisions that are never logged.
        dropped: share of all decisions, whoever made them, that are never logged.
        share: of the sessions, that the candidate serves.
        then: share that it serves from the 500th decision on, by another serving state.
        holdback_then: holdback from the 500th decision on, after a restart.
        both: whether a stage of 5 %, harm only, comes first, as by default.
        most: decisions after which a stage ends undecided.
        gap_s: time between two decisions of different sessions.
        jump: whether a tick comes that is an hour ahead, after 500 decisions.
        numbered: whether hosts number their decisions, as the SDK does.
    """

    name: str
    live: float = 0.8
    gain: float = 0.0
    voted: float = 0.8
    censored: float = 0.0
    lost: float = 0.0
    failures_lost: float = 0.0
    dropped: float = 0.0
    share: float = 0.25
    then: float | None = None
    holdback_then: float | None = None
    both: bool = False
    most: int = 2_000
    gap_s: float = 1.0
    jump: bool = False
    numbered: bool = True

    @property
    def safety(self) -> SafetyConfig:
        """Production's rules, cut to what a simulation can wait for."""
        if self.both:
            return SafetyConfig(max_stage=10_000)
        return SafetyConfig(stages=(StageConfig(share=self.share),), max_stage=self.most)


CASES: Final = (
    Case("good, +9 points", live=0.6, gain=0.09, most=6_000),
    Case("good, +4 points", gain=0.04, most=6_000),
    Case("good, +9 points, three in ten vote", live=0.6, gain=0.09, voted=0.3, most=6_000),
    Case("good, +9 points, one in twenty decisions lost", live=0.6, gain=0.09, most=6_000, dropped=0.05),
    Case("equally good", live=0.8),
    Case("at the margin, -2 points", gain=-0.02),
    Case("5 points worse", gain=-0.05),
    Case("all of its sessions lost, 20 points worse", gain=-0.2, lost=1.0),
    Case("half of its sessions lost, 20 points worse", gain=-0.2, lost=0.5),
    Case("half of its sessions lost, +9 points", live=0.6, gain=0.09, lost=0.5),
    Case("all of its failures lost, 10 points worse", gain=-0.1, failures_lost=1.0),
    Case("all of its failures lost, 20 points worse", gain=-0.2, failures_lost=1.0),
    Case("half of its failures lost, 20 points worse", gain=-0.2, failures_lost=0.5),
    Case("all of its failures lost, 10 points worse, not numbered", gain=-0.1, failures_lost=1.0, numbered=False),
    Case("all of its failures lost, 5 points worse", gain=-0.05, failures_lost=1.0),
    *(
        Case(f"{share:.0%} of its failures not reported, {100 * loss:.0f} points worse", gain=-loss, censored=share)
        for loss in (0.05, 0.1, 0.2)
        for share in (0.2, 0.5, 0.8)
    ),
    Case("share .25 to .6 in mid-trial, 10 points worse", live=0.95, gain=-0.1, then=0.6),
    Case("share .25 to .6 in mid-trial, 10 points better", live=0.85, gain=0.1, then=0.6),
    Case("holdback .1 to .04 in mid-trial, 10 points worse", live=0.95, gain=-0.1, holdback_then=0.04),
    Case("ten decisions a day, equally good", gap_s=8_640.0),
    Case("ten decisions a day, +40 points", live=0.5, gain=0.4, gap_s=8_640.0),
    Case("a tick an hour ahead, 5 points worse", gain=-0.05, jump=True),
    Case("a tick an hour ahead, +9 points", live=0.6, gain=0.09, jump=True),
    Case("both stages: good, +9 points", live=0.6, gain=0.09, both=True),
    Case("both stages: all of its sessions lost", gain=-0.2, lost=1.0, both=True),
    Case("both stages: all of its failures lost, 5 points worse", gain=-0.05, failures_lost=1.0, both=True),
    Case(
        "both stages: all of its failures lost, 5 points worse, not numbered",
        gain=-0.05,
        failures_lost=1.0,
        both=True,
        numbered=False,
    ),
    Case("both stages: all of its failures lost, 10 points worse", gain=-0.1, failures_lost=1.0, both=True),
    Case("both stages: all of its failures lost, 20 points worse", gain=-0.2, failures_lost=1.0, both=True),
)


class Traffic:
    """Sessions of a case, one after the other, until nobody asks any more."""

    def __init__(self, case: Case, seed: int) -> None:
        self.case, self.share, self.holdback, self.serving = case, case.share, 0.1, 1
        self._random = Random(seed)
        self._number = self._sequence = self.sessions = 0
        self._made: Counter[tuple[int, Arm]] = Counter()
        self.time_ms: float = START_MS

    def session(self) -> list[tuple[Vote, DecisionId]]:
        """One session, lost decisions left out."""
        draw, case, arm = self._random, self.case, self._arm()
        self.sessions += 1
        treated = arm is Arm.STAGED
        gone = treated and draw.random() < case.lost
        length = 1
        while length < LONGEST and draw.random() > 1 / 3:
            length += 1
        host = self.sessions % HOSTS
        heard = []
        for _ in range(length):
            differs = draw.random() < DIFFERING
            success = draw.random() < case.live + (case.gain / DIFFERING if treated and differs else 0.0)
            lost = treated and not success and draw.random() < case.failures_lost
            lost = lost or (case.dropped > 0 and draw.random() < case.dropped)
            silent = draw.random() > case.voted or (treated and not success and draw.random() < case.censored)
            decision_id = self._decision_id(host, arm)
            if not gone and not lost:
                vote = Vote(arm, None if silent else float(success), None, "0", "0", "1" if differs else "0")
                heard.append((vote, decision_id))
        return heard

    def _decision_id(self, host: int, arm: Arm) -> DecisionId:
        if self.case.numbered:
            self._made[host, arm] += 1
            return numbered_id(PREFIXES[host], self._made[host, arm])
        self._number += 1
        return DecisionId(f"00000000-0000-4000-8000-{self._number:012d}")

    def outcomes(self) -> Iterator[Outcome]:
        """The same as the gate reads it, in the time that the case says."""
        for vote, decision_id in self.session():
            self.time_ms += 1000 * self.case.gap_s
            sequence, self._sequence = self._sequence, self._sequence + 1
            now_ms = round(self.time_ms)
            yield replace(
                TEMPLATE,
                decision_id=decision_id,
                session_id=f"s{self.sessions}",
                time_ms=now_ms,
                digest=CANDIDATE.digest if vote.arm is Arm.STAGED else BASE.digest,
                arm=vote.arm,
                serving_sequence=self.serving,
                greedy_staged=(int(vote.staged or 0),),
                sequence=sequence,
                reward=vote.reward,
                window_end_ms=now_ms + WINDOW_MS,
            )

    def _arm(self) -> Arm:
        place = self._random.random()
        if place < self.holdback:
            return Arm.HOLDBACK
        return Arm.STAGED if place < self.holdback + self.share else Arm.LIVE


Said = tuple[str, int, str]
"""What was said, after how many decisions, and for which reason."""


@dataclass
class Run:
    """One run, and when votes alone would have approved."""

    case: Case
    seed: int
    decisions: int = 0
    before: int | None = None

    def said(self) -> Said:
        """Through the whole gate where time, shares or restarts matter; else session by session, which is faster."""
        traffic, case = Traffic(self.case, self.seed), self.case
        if case.then or case.holdback_then or case.jump or case.gap_s > 1:
            return self._through_the_gate(traffic) or ("held", self.decisions, "")
        said: Said | None = None
        for stage, config in enumerate(case.safety.stages, start=1):
            traffic.share = config.share
            said = self._stage(traffic, serving_state(BASE, staged=CANDIDATE, share=config.share, stage=stage))
            if said[0] != "approve":
                break
        return said or ("held", self.decisions, "")

    def _stage(self, traffic: Traffic, state: ServingState) -> Said:
        safety, trial = self.case.safety, _trial(state, self.case.safety)
        while not is_final(trial, safety, START_MS):
            heard = traffic.session()
            trial.decisions += len(heard)
            self.decisions += len(heard)
            for vote, decision_id in heard:
                trial.live.hear(replace(TEMPLATE, arm=vote.arm, decision_id=decision_id), NOW_MS, counted=True)
            if heard:
                trial.live.see(f"s{traffic.sessions}", heard[0][0].arm)
                trial.live.add([vote for vote, _ in heard])
            self._note(trial)
        judgement, reasons = judge(trial, safety, START_MS)
        return judgement.value, self.decisions, reasons[0].check

    def _through_the_gate(self, traffic: Traffic) -> Said | None:
        gate, said, changed = self._gate(0.1), None, False
        gate.handle(serving_state(BASE, staged=CANDIDATE, share=self.case.share))
        while said is None and self.decisions < 2 * self.case.safety.max_stage:
            if not changed and self.decisions >= 500:
                changed, gate = True, self._change(gate, traffic)
            for one in traffic.outcomes():
                self.decisions += 1
                said = said or self._say(gate, one)
                if (trial := gate._trial) is not None:  # noqa: SLF001 - to see what votes alone would say
                    self._note(trial)
            if said is None and self.case.gap_s > 1:
                said = self._say(gate, Tick(round(traffic.time_ms) + WINDOW_MS))
        return said

    def _gate(self, holdback: float) -> CanaryGate:
        return CanaryGate(SUITE, self.case.safety, 0.0, holdback)

    def _say(self, gate: CanaryGate, record: Record) -> Said | None:
        for verdict in gate.handle(record):
            if isinstance(verdict, Verdict) and verdict.judgement is not Judgement.HOLD:
                return verdict.judgement.value, self.decisions, verdict.reasons[0].check
        return None

    def _note(self, trial: Trial) -> None:
        if self.before is None and not self.case.both and trial.live.voted.approval.rejects(trial.approval_alpha):
            self.before = self.decisions

    def _change(self, gate: CanaryGate, traffic: Traffic) -> CanaryGate:
        case = self.case
        if case.then is not None:
            traffic.share, traffic.serving, self.before = case.then, 2, None
            gate.handle(serving_state(BASE, staged=CANDIDATE, share=case.then, sequence=2))
        if case.holdback_then is not None:
            body, gate = gate.snapshot(), self._gate(case.holdback_then)
            gate.restore(body)
            traffic.holdback, self.before = case.holdback_then, None
        if case.jump:
            gate.handle(Tick(round(traffic.time_ms) + HOUR_MS))
        return gate


def _trial(state: ServingState, safety: SafetyConfig) -> Trial:
    assert state.staged is not None
    return Trial(TrialState(TrialPlan.of(state, state.staged, holdback=0.1, place=1)), safety)


def row(case: Case, runs: int) -> str:
    """One line of the table."""
    said: Counter[str] = Counter()
    why: Counter[str] = Counter()
    took: list[float] = []
    before: list[float] = []
    for seed in range(runs):
        trial = Run(case, seed)
        judgement, decisions, reason = trial.said()
        judgement = "undecided" if reason == "undecided" else judgement
        said[judgement] += 1
        why[reason] += judgement != "approve"
        took.append(decisions if judgement == "approve" else float("inf"))
        # What votes alone approve later than harm was proven was not approved before either.
        stopped = decisions if reason in {"harm", "group_harm"} else float("inf")
        before.append(trial.before if trial.before is not None and trial.before <= stopped else float("inf"))
    approved_before = sum(one < float("inf") for one in before) / runs
    columns = [f"{said[name] / runs:.1%}" for name in ("approve", "reject", "rollback", "undecided", "held")]
    median_before = f"{median(before):,.0f}" if approved_before > 0.5 else "–"  # noqa: RUF001 - a dash
    median_now = f"{median(took):,.0f}" if said["approve"] > runs / 2 else "–"  # noqa: RUF001 - a dash
    reasons = ", ".join(name for name, count in why.most_common(2) if count and name)
    return (
        f"| {case.name} | {approved_before:.1%} | {median_before} | {' | '.join(columns)} | {median_now} | {reasons} |"
    )


def main() -> None:
    """Prints the table, a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--only", default="", help="part of the names of cases")
    arguments = parser.parse_args()
    head = (
        "trial | approved before | after | approved | rejected | rolled back | undecided | held | after | what stopped"
    )
    sys.stdout.write(f"| {head} |\n|---|{'---|' * head.count('|')}\n")
    for case in CASES:
        if arguments.only in case.name:
            began = time.monotonic()
            sys.stdout.write(row(case, arguments.runs) + "\n")
            sys.stdout.flush()
            sys.stderr.write(f"{time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main()
