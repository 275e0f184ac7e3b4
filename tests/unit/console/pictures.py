"""Lineages in the states that a page may find them in, made up from records; no Kafka and no store."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from ol0.config import Settings
from ol0.console.observing.knowledge import Knowledge, Known
from ol0.console.observing.letters import LetterKind, Letters
from ol0.console.observing.picture import Part, Picture, Trouble
from ol0.evaluator.figures import ArmSummary, Brief, Comparison
from ol0.kafka.snapshots import Positions, TopicPlace, head_of, parts_of
from ol0.records import (
    Arm,
    Check,
    Gate,
    Judgement,
    OperatorCommand,
    OperatorKind,
    Partition,
    Phase,
    Reason,
    Record,
    ServingState,
    Snapshot,
    Transition,
)
from ol0.replay.counters import Counters
from ol0.replay.stats import PartitionState, StoreStats
from ol0.statistics.lift import LiftFigures
from support.made_up_run import candidate, difference, digest, divergence, serving, suite, transition, verdict

NOON_MS = 1_795_867_200_000  # 2026-11-28 12:00 UTC
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
SETTINGS = Settings.model_validate({"kafka": {"topic_prefix": "shop"}})
EVIL = "<script>alert(1)</script>"

ARMS = {
    Arm.LIVE: ArmSummary(0.81, 18_240, 14_774, 0.561, None, None, None, None),
    Arm.STAGED: ArmSummary(0.8, 4_110, 3_288, 0.574, None, None, None, None),
    Arm.HOLDBACK: ArmSummary(0.79, 2_480, 1_959, 0.427, None, None, None, None),
}
GROUPS = {
    "games": Comparison(Brief(0.82, 9_120, 0.583), Brief(0.8, 1_040, 0.402)),
    "kernel": Comparison(Brief(0.79, 6_300, 0.611), Brief(0.81, 690, 0.447)),
    "web": Comparison(Brief(0.84, 4_450, 0.498), Brief(0.77, 498, 0.512)),
    "fonts": Comparison(Brief(0.71, 2_480, 0.402), Brief(0.7, 252, None)),
}


@dataclass
class Story:
    """Records in the order of time, an hour and more of a lineage that ends at noon."""

    records: list[Record] = field(default_factory=list)
    sequence: int = 0
    live: tuple[str, int] = ("base", 0)

    def base(self, at_ms: int) -> None:
        self.sequence = 1
        self.records += [
            replace(candidate("base", 0), parent=digest("base"), time_ms=at_ms),
            self._move("base", None, Phase.OFFERED, at_ms, "the base, from a warm-up", 0),
            self._move("base", Phase.OFFERED, Phase.LIVE, at_ms + 4_000, "both gates approve", 0),
            self._state(at_ms + 4_000),
        ]

    def offer(self, name: str, step: int, at_ms: int, *, good: bool = True) -> None:
        """A candidate, and what both gates say offline."""
        no = Reason("suite_base", -0.031, -0.043, -0.02, "loses on the suite: -3.1 points, at worst -4.3 points")
        words = [
            verdict(name, Gate.CANARY, Judgement.APPROVE, suite(0.004))
            if good
            else verdict(name, Gate.CANARY, Judgement.REJECT, no),
            verdict(name, Gate.DRIFT, Judgement.APPROVE, divergence(0.031)),
        ]
        self.records += [
            replace(candidate(name, step), parent=digest(self.live[0]), time_ms=at_ms),
            self._move(name, None, Phase.OFFERED, at_ms, f"step {step} of the learner", step),
            *(replace(word, time_ms=at_ms + 2_000) for word in words),
        ]
        if not good:
            cause = "canary says reject at stage 0 on 1200: suite_base -0.031: loses on the suite"
            self.records.append(self._move(name, Phase.OFFERED, Phase.REJECTED, at_ms + 2_500, cause, step))

    def stage(self, name: str, step: int, at_ms: int) -> None:
        self.sequence += 1
        self.records += [
            self._move(name, Phase.OFFERED, Phase.STAGED, at_ms, "canary says approve at stage 0 on 1200", step),
            self._state(at_ms, (name, step)),
        ]

    def hold(self, name: str, at_ms: int, sessions: int, missing: int, text: str | None = None) -> None:
        reason = difference(0.052, -0.041, missing)
        more = Reason(Check.MISSING, float(missing), None, None, "against live: sessions that are still needed")
        since = Reason(Check.SINCE, 2_310.0, None, 20_000.0, "stage 1 runs since 11:35, with 2310 decisions so far")
        reason = reason if text is None else replace(reason, text=text)
        word = verdict(name, Gate.CANARY, Judgement.HOLD, reason, more, since, stage=1, evidence=sessions)
        self.records.append(replace(word, time_ms=at_ms))

    def release(self, name: str, step: int, at_ms: int) -> None:
        before, self.live, self.sequence = self.live, (name, step), self.sequence + 1
        cause = "canary says approve at stage 1 on 1008: staged_live 0.051 (bound -0.011, threshold -0.02): ruled out"
        word = verdict(name, Gate.CANARY, Judgement.APPROVE, difference(0.051, -0.011), stage=1, evidence=1_008)
        self.records += [
            replace(word, time_ms=at_ms),
            self._move(before[0], Phase.LIVE, Phase.SUPERSEDED, at_ms, cause, before[1]),
            self._move(name, Phase.STAGED, Phase.LIVE, at_ms, cause, step),
            self._state(at_ms),
        ]

    def roll_back(self, to: tuple[str, int], at_ms: int, cause: str) -> None:
        fallen, self.live, self.sequence = self.live, to, self.sequence + 1
        self.records += [
            self._move(fallen[0], Phase.LIVE, Phase.QUARANTINED, at_ms, cause, fallen[1]),
            self._move(to[0], Phase.SUPERSEDED, Phase.LIVE, at_ms, cause, to[1]),
            self._state(at_ms),
        ]

    def freeze(self, at_ms: int, reason: str) -> None:
        self.sequence += 1
        self.records += [
            OperatorCommand(OperatorKind.FREEZE, None, "ann", reason, at_ms),
            replace(self._state(at_ms), frozen=True),
        ]

    def evaluate(self, minutes: int, until_ms: int, groups: Mapping[str, Comparison] = GROUPS) -> None:
        self.records += [evaluation(until_ms - (minutes - at) * MINUTE_MS, at, groups) for at in range(1, minutes + 1)]

    def loops(self, at_ms: int) -> None:
        for service, source in (("canary", "outcomes"), ("drift", "outcomes"), ("release", "verdicts")):
            self.records += snapshot(service, source, at_ms)

    def _move(self, name: str, before: Phase | None, after: Phase, at_ms: int, cause: str, step: int) -> Transition:
        move = transition(name, after, cause, self.sequence, step)
        return replace(move, from_phase=before, time_ms=at_ms)

    def _state(self, at_ms: int, trial: tuple[str, int] | None = None) -> ServingState:
        state = serving(self.sequence, *self.live, *(trial or ()))
        return replace(state, time_ms=at_ms, cooldown_until_ms=at_ms + 30 * MINUTE_MS)

    def picture(self, **other: object) -> Picture:
        values = {"stats": stats(), "letters": LETTERS, "ends": ENDS, "caught_up": True, **other}
        return Picture(known=known(self.records), **values)  # type: ignore[arg-type]


def known(records: Sequence[Record]) -> Known:
    knowledge = Knowledge()
    for record in records:
        knowledge.add(record)
    return knowledge.known()


def evaluation(at_ms: int, minute: int, groups: Mapping[str, Comparison] = GROUPS) -> Snapshot:
    """What the evaluator says: a lift that grows, with an interval that narrows and begins late."""
    grown, width = 0.34 * (1 - math.exp(-minute / 40)), 1.3 / math.sqrt(minute + 2)
    low = None if minute < 8 else grown - width
    high = None if minute < 12 else grown + 1.15 * width
    lift = LiftFigures(minute * 90, minute * 10, grown, low, high)
    hours = {
        at_ms - at_ms % HOUR_MS - back * HOUR_MS: asdict(
            Comparison(Brief(0.8, 900, 0.56 - 0.012 * back), Brief(0.8, 100, 0.42 + 0.015 * math.sin(back)))
        )
        for back in range(8)
    }
    figures = {
        "time_ms": at_ms,
        "lift": asdict(lift),
        "arms": {arm: asdict(figures) for arm, figures in ARMS.items()},
        "groups": {name: asdict(one) for name, one in groups.items()},
        "hours": hours,
        "proven": low is not None and low > 0,
    }
    return Snapshot("evaluator", at_ms + 500, json.dumps({"figures": figures}).encode())


def snapshot(service: str, source: str, at_ms: int) -> list[Snapshot]:
    where = Positions({f"shop.{source}.v1": TopicPlace("id", {0: 24_830})}, at_ms)
    return [*parts_of(service, at_ms, b"state"), head_of(service, at_ms, b"state", where)]


ENDS: Mapping[Partition, int | None] = {
    Partition("shop.outcomes.v1", 0): 24_831,
    Partition("shop.verdicts.v1", 0): 26_112,
    Partition("shop.decisions.v1", 0): 26_410,
    Partition("shop.feedback.user.v1", 0): 21_002,
}
LETTERS = Letters(
    (
        LetterKind(
            "feedback.user",
            "UnknownSchema",
            41,
            NOON_MS - 3 * MINUTE_MS,
            "schema id 13 is none of schemas/ids.json",
            "ol0 dlq show feedback.user 0 17322",
            "The sender uses a schema id that the reader does not know. Then run `ol0 dlq replay`",
        ),
        LetterKind(
            "decisions",
            "RangeError",
            2,
            NOON_MS - 4 * HOUR_MS,
            "propensity 1.2 is above 1",
            "ol0 dlq show decisions 2 41077",
            "The record is well-formed, but a value is out of range. Fix the sender and let it send the record again",
        ),
    )
)


def stats(*, empty: bool = False) -> StoreStats:
    fields = {
        "decisions": 25_412,
        "outcomes": 24_830,
        "decisions_late": 4,
        "examples": 20_021,
        "null_rewards": 4_809,
        "feedback": 27_310,
        "feedback_used": 26_702,
        "feedback_late": 121,
        "feedback_orphan": 127,
        "feedback_superseded": 36,
        "waiting": 324,
    }
    counts = {} if empty else fields
    counters = Counters.parse({f"count:{name}".encode(): str(count).encode() for name, count in counts.items()}, 0)
    return StoreStats(
        incarnation="1",
        counters=counters if empty else replace(counters, open=578),
        capacity=10_000,
        max_open=200_000,
        filled=0 if empty else 10_000,
        priorities=None,
        anchors=2_000,
        outbox=0,
        partitions=(
            PartitionState("shop.decisions.v1[0]", 1, 26_410, NOON_MS - 61_000),
            PartitionState("shop.feedback.user.v1[0]", 1, 21_002, NOON_MS - 60_000),
        ),
        memory_bytes=61_000_000,
        ring_bytes=1,
        payload_bytes=1,
    )


def empty() -> Picture:
    return Picture(caught_up=True, stats=stats(empty=True), letters=Letters())


def learning() -> Story:
    story = Story()
    story.base(NOON_MS - 3 * HOUR_MS)
    story.evaluate(30, NOON_MS)
    story.loops(NOON_MS - 1_000)
    return story


def on_trial(text: str | None = None, groups: Mapping[str, Comparison] = GROUPS) -> Story:
    story = Story()
    story.base(NOON_MS - 3 * HOUR_MS)
    story.evaluate(150, NOON_MS, groups)
    story.offer("one", 1, NOON_MS - 120 * MINUTE_MS)
    story.stage("one", 1, NOON_MS - 119 * MINUTE_MS)
    story.release("one", 1, NOON_MS - 80 * MINUTE_MS)
    story.offer("two", 2, NOON_MS - 40 * MINUTE_MS, good=False)
    story.offer("three", 3, NOON_MS - 26 * MINUTE_MS)
    story.stage("three", 3, NOON_MS - 25 * MINUTE_MS)
    story.hold("three", NOON_MS - 2 * MINUTE_MS, 612, 410, text)
    story.loops(NOON_MS - 1_000)
    return story


def released() -> Story:
    story = on_trial()
    story.release("three", 3, NOON_MS - MINUTE_MS)
    return story


def rolled_back(cause: str = "drift says rollback at stage 2 on 2210: lost_lift -0.061: the lift is gone") -> Story:
    story = released()
    story.roll_back(("one", 1), NOON_MS - 20_000, cause)
    return story


def frozen() -> Story:
    story = released()
    story.freeze(NOON_MS - 15_000, "launch day")
    return story


def away(part: Part = Part.BROKER) -> Picture:
    trouble = Trouble(part, NOON_MS - 4 * MINUTE_MS, "no broker answers at kafka.bootstrap_servers: not within 2 s")
    return released().picture(troubles=(trouble,))
