"""A made-up run of two minutes, close to what the demo shows: six candidates, three releases, one harmful candidate."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import cast

import numpy as np

from ol0.kafka.topic_readers.log_reader import LogReader
from ol0.operator.figure_sources import Sources
from ol0.operator.observation import Observation, Observer
from ol0.records import (
    Arm,
    Candidate,
    Check,
    DecisionId,
    Digest,
    Gate,
    Judgement,
    Mode,
    Outcome,
    Phase,
    Reason,
    Record,
    Release,
    RewardParts,
    ServingState,
    Snapshot,
    Staged,
    Transition,
    Verdict,
)
from ol0.simulation.report.model import KindPolicy, Policy, Reconciliation, RunReport
from ol0.statistics.lift import LiftFigures

DECISIONS = 20_000
LENGTH_S = 120
RATE = DECISIONS // LENGTH_S + 1
KIND_OF = {"games": "new", "web": "old"}
STEP_S = 17
SILENT_S = 12
"""Until then the evaluator has said nothing."""


def digest(name: str) -> Digest:
    return Digest(hashlib.sha256(name.encode()).hexdigest())


BASE = digest("base")


def verdict(
    name: str,
    gate: Gate,
    judgement: Judgement,
    *reasons: Reason,
    stage: int = 0,
    evidence: int = 1_200,
) -> Verdict:
    return Verdict(digest(name), BASE, BASE, stage, None, gate, judgement, reasons, evidence, 0)


def suite(figure: float) -> Reason:
    bound = figure - 0.012
    text = f"against the base on 1,200 prompts: {figure * 100:+.1f} points, at worst {bound * 100:+.1f} points"
    return Reason("suite_base", figure, bound, -0.02, text)


def divergence(figure: float) -> Reason:
    return Reason("kl", figure, None, 0.1, f"mean KL from the base on the probes is {figure:.3f}; 0.1 is critical")


def difference(figure: float, bound: float, missing: int = 0) -> Reason:
    lacks = f"not ruled out: about {missing} more sessions are missing" if missing else "ruled out"
    text = (
        f"against live: {figure * 100:+.1f} points, at worst {bound * 100:+.1f} points, in 412 sessions with the "
        f"candidate and 388 without; a loss beyond +2.0 points is {lacks}"
    )
    return Reason("staged_live", figure, bound, -0.02, text)


def outcome(sequence: int, reward: float | None, arm: Arm = Arm.LIVE, group: str = "games", **other: object) -> Outcome:
    values: dict[str, object] = {"digest": BASE, "serving_sequence": 1, **other}
    return Outcome(
        decision_id=DecisionId(f"d{sequence}"),
        sequence=sequence,
        session_id=f"s{sequence // 3}",
        user=None,
        time_ms=0,
        arm=arm,
        staged=None,
        action=(0,),
        propensity=(0.91,),
        greedy_base=None,
        greedy_live=None,
        greedy_staged=None,
        reward=reward,
        parts=RewardParts(thumb=reward),
        group=group,
        window_end_ms=0,
        **values,  # type: ignore[arg-type]
    )


def candidate(name: str, step: int) -> Candidate:
    return Candidate(digest(name), BASE, BASE, step, 0, b"", {"loss": 1.0})


def transition(name: str, to: Phase, cause: str = "", sequence: int = 1, step: int = 1) -> Transition:
    return Transition(digest(name), None, to, cause, 0, sequence, step)


def release(name: str, step: int) -> Release:
    approvals = (
        verdict(name, Gate.CANARY, Judgement.APPROVE, difference(0.031, 0.002), stage=1, evidence=900),
        verdict(name, Gate.DRIFT, Judgement.APPROVE, divergence(0.031)),
    )
    return Release(digest(name), step, b"heads", approvals if step else ())


def serving(sequence: int, live: str, step: int, trial: str | None = None, trial_step: int = 0) -> ServingState:
    staged = None if trial is None else Staged(release(trial, trial_step), 0.5, 1)
    base, now = release("base", 0), release(live, step)
    return ServingState(sequence, 0, Mode.APPLY, False, base, now, staged, 0, 0, 0)  # noqa: FBT003 - record's order


@dataclass
class Script:
    """Follower, traffic and clock of the made-up run in one: ``second`` is the time."""

    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))
    second: int = 0
    sequence: int = 0
    state: int = 1
    live: tuple[str, int] = ("base", 0)
    trial: tuple[str, int] | None = None
    closed: bool = False

    def poll(self) -> Sequence[tuple[str, Record, int]]:
        records: list[Record] = [serving(1, "base", 0)] if self.second == 1 else []
        records += [self._snapshot()] if self.second > SILENT_S else []
        records += self._gates() if self.second > STEP_S else []
        records += [self._outcome() for _ in range(RATE)] if 4 < self.second <= LENGTH_S + 4 else []
        return [("any", record, 0) for record in records]

    @property
    def caught_up(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True

    def decisions(self) -> int:
        return min(DECISIONS, self.second * RATE)

    def _snapshot(self) -> Snapshot:
        """The part of the evaluator's that is for people."""
        grown = 0.36 * (1 - math.exp(-self.second / 35))
        width = 1.1 / math.sqrt(self.second + 1)
        lift = LiftFigures(self.second * 50, self.second * 6, grown, grown - width, grown + 1.2 * width)
        figures = {"time_ms": 1_000 * self.second, "lift": asdict(lift)}
        return Snapshot("evaluator", 1_000 * self.second, json.dumps({"figures": figures}).encode())

    def restarts(self) -> Mapping[str, int]:
        return {"feedback": int(self.second > 40), "learner": int(self.second > 75), "canary": 0}

    def _gates(self) -> list[Record]:
        """One candidate every ``STEP_S`` seconds: 2 fails offline, 4 does harm on trial, 6 is undecided at the end."""
        number, age = divmod(self.second - STEP_S, STEP_S)
        name, step = f"candidate {number + 1}", number + 1
        if age == 1:
            return [candidate(name, step), transition(name, Phase.OFFERED, step=step)]
        if age == 2:
            return self._offline(name, step)
        if step == 2:
            return []
        if age in {5, 8, 11} and self.trial is not None:
            return [self._hold(name, step, age)]
        return self._end(name, step) if age == 14 and self.trial is not None else []

    def _offline(self, name: str, step: int) -> list[Record]:
        if step == 2:
            no = verdict(name, Gate.CANARY, Judgement.REJECT, suite(-0.031))
            return [
                no,
                verdict(name, Gate.DRIFT, Judgement.APPROVE, divergence(0.044)),
                transition(
                    name, Phase.REJECTED, "canary says reject at stage 0 on 1200: suite_base -0.031: worse", step=step
                ),
            ]
        self.trial, self.state = (name, step), self.state + 1
        return [
            verdict(name, Gate.CANARY, Judgement.APPROVE, suite(0.004)),
            verdict(name, Gate.DRIFT, Judgement.APPROVE, divergence(0.02 + 0.004 * step)),
            transition(
                name,
                Phase.STAGED,
                "canary says approve at stage 0 on 1200: suite_base 0.004: as good",
                self.state,
                step,
            ),
            serving(self.state, *self.live, name, step),
        ]

    def _hold(self, name: str, step: int, age: int) -> Verdict:
        sessions = (age - 2) * 28 * 3
        figure = (-0.06 if step == 4 else 0.05) + 0.03 / (age - 1)
        more = max(30, 1_000 - sessions)
        reason = difference(figure, figure - 2.0 / math.sqrt(sessions + 30), more)
        missing = Reason(Check.MISSING, float(more), None, None, "against live: sessions that are still needed")
        return verdict(name, Gate.CANARY, Judgement.HOLD, reason, missing, stage=1, evidence=sessions)

    def _end(self, name: str, step: int) -> list[Record]:
        self.trial, self.state = None, self.state + 1
        if step == 4:
            reason = Reason(
                "harm", -0.058, -0.008, 0.0, "worse than live: -5.8 points, at best -0.8 points, after 960 sessions"
            )
            return [
                verdict(name, Gate.CANARY, Judgement.ROLLBACK, reason, stage=1, evidence=960),
                transition(
                    name, Phase.REJECTED, "canary says rollback at stage 1 on 960: harm -0.058: worse", self.state, step
                ),
                serving(self.state, *self.live),
            ]
        before, self.live = self.live, (name, step)
        yes = verdict(name, Gate.CANARY, Judgement.APPROVE, difference(0.051, -0.011), stage=1, evidence=1_008)
        return [
            yes,
            transition(
                name, Phase.LIVE, "canary says approve at stage 1 on 1008: staged_live 0.051: better", self.state, step
            ),
            transition(before[0], Phase.SUPERSEDED, f"by {digest(name)[:8]}", self.state, before[1]),
            serving(self.state, *self.live),
        ]

    def _outcome(self) -> Outcome:
        self.sequence += 1
        draw = self.random.random()
        staged = self.trial is not None and draw < 0.45
        arm = Arm.HOLDBACK if draw > 0.9 else Arm.STAGED if staged else Arm.LIVE
        name, step = self.trial if self.trial is not None and staged else self.live
        group = "games" if self.random.random() < 0.85 else "web"
        mean = 0.68 if group == "web" else 0.40 if arm is Arm.HOLDBACK else 0.40 + 0.17 * (1 - math.exp(-step / 2))
        mean -= 0.08 if step == 4 else 0.0
        reward = None if self.random.random() < 0.2 else float(self.random.random() < mean)
        return outcome(self.sequence, reward, arm, group, digest=digest(name), serving_sequence=self.state)


def watch(until_s: int) -> Observation:
    """The made-up run as an observer sees it at ``until_s``."""
    return whole_run()[until_s]


@cache
def whole_run() -> tuple[Observation, ...]:
    """One observation a second, until five seconds after the last decision. Made once: they are frozen."""
    script = Script()
    sources = Sources(
        script.decisions,
        DECISIONS,
        feedback=lambda: script.decisions() * 8 // 10,
        restarts=script.restarts,
    )
    observer = Observer(cast("LogReader", script), sources, kind_of=KIND_OF, clock=lambda: float(script.second))
    seen = []
    for second in range(LENGTH_S + 6):
        script.second = second
        observer.look()
        seen.append(observer.observe())
    return tuple(seen)


def made_up_report(observation: Observation | None = None, **other: object) -> RunReport:
    """The report on the whole made-up run, with some of its values put in another way."""
    values: dict[str, object] = {
        "reconciliation": Reconciliation(
            decisions=20_000,
            outcomes=19_996,
            examples=15_902,
            null_rewards=4_094,
            feedback=17_204,
            feedback_used=17_180,
            decisions_dropped={"too late": 4},
            feedback_dropped={"late": 21, "orphan": 3},
            outcomes_read=19_996,
        ),
        "policy": Policy(new=KindPolicy(0.392, 0.581, 0.243, 0.95), old=KindPolicy(0.709, 0.705, 0.212, 0.95)),
        "seed": 0,
        "data": "real prompts of debian_sections",
        "began": "2026-11-23 07:30 UTC",
        "environment": {"ol0": "0.1.0", "Python": "3.11.7", "Kafka": "4.3.1", "Valkey": "9.1.0", "CPU": "2 cores"},
        "settings": {
            "serving.epsilon": "0.1",
            "serving.holdback": "0.1",
            "streaming.reward_window_s": "4",
            "safety.stages": "50 %",
            "safety.max_stage": "4,000 decisions",
        },
        "faults": [(40.0, "kill -9 of the feedback service"), (75.0, "kill -9 of the learner")],
        **other,
    }
    return RunReport(observation=observation or watch(LENGTH_S + 5), **values)  # type: ignore[arg-type]
