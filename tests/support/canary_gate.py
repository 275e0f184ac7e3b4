"""A canary gate of one stage, and candidates on trial under it."""

from collections.abc import Iterable

from ol0.canary.handler import CanaryGate
from ol0.config import SafetyConfig, StageConfig
from ol0.controller.suite import Suite
from ol0.records import Digest, Record, ServingState, Verdict
from testbed.worlds import (
    Traffic,
    make_base,
    make_candidate,
    make_suite,
    serving_state,
)

ONE_STAGE = SafetyConfig(stages=(StageConfig(share=0.5, min_decisions=60),), max_stage=4_000)
BASE = make_base()
SUITE = make_suite()
SERVED = serving_state(BASE, staged=make_candidate(BASE))
DAY_MS = 86_400_000


def gate(safety: SafetyConfig = ONE_STAGE) -> CanaryGate:
    return CanaryGate(SUITE, safety, 0.9, holdback=0.1)


def verdicts(canary: CanaryGate, records: Iterable[Record]) -> list[Verdict]:
    return [verdict for record in records for verdict in canary.handle(record) if isinstance(verdict, Verdict)]


def trial(state: ServingState, decisions: int, safety: SafetyConfig = ONE_STAGE, **traffic: object) -> list[Verdict]:
    """All verdicts of a fresh gate on one trial."""
    outcomes = Traffic(**traffic).outcomes(state, decisions)  # type: ignore[arg-type]
    return verdicts(gate(safety), [state, *outcomes])


def smaller_suite() -> Suite:
    values = (SUITE.values[0][:600],)
    return Suite(Digest("6" * 64), SUITE.features[:600], values, SUITE.kinds[:600])
