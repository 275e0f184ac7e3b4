"""Every metric of OL0, once: its name, what it tells, and what to do about it.

A process exports those that it knows. Figures of the whole lineage (the store's, the evaluator's, release's) come from
the service that owns them; several feedback processes export the same ones, so take ``max`` over instances. No label
has values without a bound: partitions, reasons and checks are what the code and the topics declare.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class Kind(StrEnum):
    """A counter only grows, but for a restart."""

    COUNTER = "counter"
    GAUGE = "gauge"


class MetricName(NamedTuple):
    """A metric.

    Attributes:
        name: as Prometheus shows it; counters get ``_total``.
        kind: counter or gauge.
        tells: what it is, with its unit.
        labels: their names.
        act: what to do about it, for those that an alert looks at.
    """

    name: str
    kind: Kind
    tells: str
    labels: tuple[str, ...] = ()
    act: str = ""


COUNTER, GAUGE = Kind.COUNTER, Kind.GAUGE

# Every service: its loop.
READY: Final = MetricName(
    "ol0_ready", GAUGE, "1 while the loop comes round and broker and store answer", (), "/readyz says what is missing"
)
ROUNDS: Final = MetricName("ol0_rounds", COUNTER, "rounds of the loop, idle ones too", ("service",))
BUSY: Final = MetricName(
    "ol0_round_seconds", COUNTER, "seconds that rounds took, waits for records among them", ("service",)
)
RECORDS: Final = MetricName("ol0_records", COUNTER, "records read and used", ("service",))
OUTPUTS: Final = MetricName("ol0_outputs", COUNTER, "records written", ("service",))
DEAD_LETTERS: Final = MetricName(
    "ol0_dead_letters", COUNTER, "records that cannot be used", ("service",), "`ol0 dlq list` says which and why"
)
FORGED: Final = MetricName(
    "ol0_forged", COUNTER, "of the dead letters, those without a trusted signature", ("service",), "find who writes"
)
MISSED: Final = MetricName(
    "ol0_missed_records", COUNTER, "records that expired unread", ("service",), "raise the topic's retention"
)
REFUSED_OUTPUTS: Final = MetricName("ol0_refused_outputs", COUNTER, "records that no topic takes", ("service",))
LAG: Final = MetricName(
    "ol0_lag_records",
    GAUGE,
    "records between what was read and the end of the log",
    ("service",),
    "growing: the service is too slow, or is stopped",
)

# feedback: what the store holds.
DECISIONS: Final = MetricName("ol0_decisions", COUNTER, "decisions that were read, copies included")
DECISIONS_DROPPED: Final = MetricName("ol0_decisions_dropped", COUNTER, "decisions that got no window", ("reason",))
OUTCOMES: Final = MetricName("ol0_outcomes", COUNTER, "windows that closed")
EXAMPLES: Final = MetricName("ol0_examples", COUNTER, "outcomes with a reward that went into the ring")
UNREWARDED: Final = MetricName("ol0_outcomes_unrewarded", COUNTER, "outcomes that nothing was said about")
FEEDBACK: Final = MetricName("ol0_feedback", COUNTER, "feedback that was read, copies included")
FEEDBACK_USED: Final = MetricName("ol0_feedback_used", COUNTER, "feedback that a reward was made of")
FEEDBACK_DROPPED: Final = MetricName(
    "ol0_feedback_dropped", COUNTER, "feedback that counts for nothing", ("reason",), "operating.md lists the reasons"
)
OPEN: Final = MetricName("ol0_open_windows", GAUGE, "windows that have not closed")
MAX_OPEN: Final = MetricName(
    "ol0_max_open_windows", GAUGE, "windows that may be open", (), "at the limit, decisions wait in Kafka"
)
RING: Final = MetricName("ol0_ring_examples", GAUGE, "examples that the learner may draw")
RING_SIZE: Final = MetricName("ol0_ring_capacity", GAUGE, "examples that the ring holds")
OUTBOX: Final = MetricName("ol0_outbox_commits", GAUGE, "commits whose outcomes the broker has not acknowledged")
STORE_BYTES: Final = MetricName("ol0_store_bytes", GAUGE, "memory of the lineage's keys, bytes")
WATERMARK_AGE: Final = MetricName(
    "ol0_watermark_age_seconds",
    GAUGE,
    "seconds by which event time is behind the clock: no window closes before it has passed",
    (),
    "`ol0 replay stats` names the partition that holds it back",
)
PARTITION_AGE: Final = MetricName(
    "ol0_partition_age_seconds", GAUGE, "the same of one source partition", ("partition",), "its owner is down or slow"
)

# learner: of the last candidate that was offered, or of now.
LEARNT_FROM: Final = MetricName("ol0_learner_examples", GAUGE, "examples that were ever stored")
CONVINCED: Final = MetricName("ol0_learner_convinced", GAUGE, "1 where there is evidence that something can be learnt")
CANDIDATES: Final = MetricName("ol0_learner_candidates", COUNTER, "candidates offered since the process began")
LEARNER_FIGURE: Final = MetricName("ol0_learner_figure", GAUGE, "figures of the last candidate's summary", ("figure",))

# canary and drift: of the last verdict.
VERDICTS: Final = MetricName("ol0_verdicts", COUNTER, "verdicts since the process began", ("service", "judgement"))
CHECK_FIGURE: Final = MetricName(
    "ol0_check_figure", GAUGE, "figure of a check in the last verdict", ("service", "check")
)
CHECK_THRESHOLD: Final = MetricName(
    "ol0_check_threshold", GAUGE, "what the figure is held against, where there is such a number", ("service", "check")
)
EVIDENCE: Final = MetricName(
    "ol0_verdict_evidence", GAUGE, "sessions or prompts that the last verdict rests on", ("service",)
)

# release: what serves.
SERVING_STEP: Final = MetricName("ol0_serving_step", GAUGE, "step of the release that serves; 0 is the base")
SERVING_SEQUENCE: Final = MetricName("ol0_serving_sequence", GAUGE, "serving states so far")
TRIAL_STAGE: Final = MetricName("ol0_trial_stage", GAUGE, "stage of the candidate on trial: 0 offline, -1 no candidate")
TRIAL_SHARE: Final = MetricName("ol0_trial_share", GAUGE, "share of the sessions that it serves")
FAILURES: Final = MetricName("ol0_failures_in_a_row", GAUGE, "candidates in a row that gates turned down")
FROZEN: Final = MetricName(
    "ol0_frozen",
    GAUGE,
    "1 while nothing may be released",
    (),
    "`ol0 releases list` says why; `ol0 releases thaw` ends it",
)
APPLIES: Final = MetricName("ol0_serving_applies", GAUGE, "0 where the base serves everybody (mode observe or off)")

# evaluator: whether it helps.
LIFT: Final = MetricName(
    "ol0_lift", GAUGE, "relative gain of live and staged over the holdback; .1 is 10 %", ("bound",)
)
LIFT_BELOW_ZERO: Final = MetricName(
    "ol0_lift_below_zero", GAUGE, "1 where the whole interval of the lift is below 0", (), "`ol0 releases rollback`"
)
PROVEN: Final = MetricName("ol0_lift_proven", GAUGE, "1 where the lift is proven and reaches the target")
ARM_SUCCESS: Final = MetricName("ol0_arm_success", GAUGE, "mean reward of an arm", ("arm",))
ARM_OUTCOMES: Final = MetricName("ol0_arm_outcomes", COUNTER, "outcomes of an arm", ("arm",))
UNBALANCED: Final = MetricName(
    "ol0_arms_unbalanced",
    GAUGE,
    "1 where the arms do not get their shares or do not report alike, so that no figure holds",
    (),
    "`ol0 report` names the test; look for hosts that lose records or ignore the arm",
)
INPUTS_AWAY: Final = MetricName(
    "ol0_inputs_away",
    GAUGE,
    "1 while inputs are not the embedder's that the base was made for",
    (),
    "restore the embedder",
)
TRANSITIONS: Final = MetricName("ol0_transitions", COUNTER, "steps of checkpoints, by what they became", ("phase",))

# A host's router: see ``ol0.sdk.metrics``.
SDK_DELIVERED: Final = MetricName("ol0_sdk_delivered", COUNTER, "decisions and feedback that the broker has")
SDK_DROPPED: Final = MetricName(
    "ol0_sdk_dropped", COUNTER, "decisions and feedback that are lost", ("reason",), "the host's log says why"
)
SDK_WAITING: Final = MetricName("ol0_sdk_waiting", GAUGE, "decisions and feedback on their way")
SDK_AGE: Final = MetricName(
    "ol0_sdk_serving_age_seconds", GAUGE, "seconds since what serves was known to be newest", (), "Kafka is away"
)
SDK_SEQUENCE: Final = MetricName("ol0_sdk_serving_sequence", GAUGE, "serving state that the next prompt gets")

METRICS: Final = tuple(value for value in list(globals().values()) if isinstance(value, MetricName))


class Figure(NamedTuple):
    """One value of a metric; labels in the order of its names."""

    metric: MetricName
    value: float
    labels: tuple[str, ...] = ()


class Board(Collector):
    """The newest figures of a process, as Prometheus collects them. May be written and read by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[MetricName, dict[tuple[str, ...], float]] = {}

    def put(self, figures: Iterable[Figure]) -> None:
        """Takes the place of what the same metrics had before, whatever labels they had."""
        newest: dict[MetricName, dict[tuple[str, ...], float]] = {}
        for metric, value, labels in figures:
            assert len(labels) == len(metric.labels), f"{metric.name} has the labels {metric.labels}, not {labels}"
            newest.setdefault(metric, {})[labels] = float(value)
        with self._lock:
            self._values |= newest

    def add(self, figures: Iterable[Figure]) -> None:
        """Adds to counters."""
        with self._lock:
            for metric, value, labels in figures:
                counts = self._values.setdefault(metric, {})
                counts[labels] = counts.get(labels, 0.0) + value

    def collect(self) -> Iterator[Metric]:
        """A family for each metric that there is."""
        with self._lock:
            values: Mapping[MetricName, dict[tuple[str, ...], float]] = {
                metric: dict(found) for metric, found in self._values.items()
            }
        for metric, found in values.items():
            make = CounterMetricFamily if metric.kind is COUNTER else GaugeMetricFamily
            family = make(metric.name, metric.tells, labels=metric.labels)
            for labels, value in found.items():
                family.add_metric(labels, value)
            yield family
