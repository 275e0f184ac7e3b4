"""The end of a run: when everything has come to rest, and what the report is made from."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from time import monotonic

from ol0.config import Settings
from ol0.controller.controller import Controller
from ol0.errors import StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.topic_readers.checkpoints import CheckpointReader
from ol0.kafka.topic_readers.compacted_reader import CompactedReader
from ol0.operator.observation import Observer
from ol0.operator.setup.prompts import Prompts, Split
from ol0.records import ServingState
from ol0.replay.counters import Counters
from ol0.replay.store import ReplayStore
from ol0.simulation.report.model import KindPolicy, Policy, Reconciliation
from ol0.simulation.users import Tally
from ol0.version import VERSION

READ_S = 10.0


class Settled:
    """Whether every record that was sent is accounted for, and the evaluator has closed its last session."""

    def __init__(self, store: ReplayStore, sent: Tally, observer: Observer, rest_s: float) -> None:
        self._store = store
        self._sent = sent
        self._observer = observer
        self._rest_s = rest_s
        self._sessions = -1
        self._since_s = 0.0

    def __call__(self) -> bool:
        """Asks the store and the observer."""
        now, seen = self._store.counters(), self._observer.observe()
        if now.decisions < self._sent.decisions or now.feedback < self._sent.feedback or now.open or now.waiting:
            return False
        if seen.lift.sessions != self._sessions:
            self._sessions, self._since_s = seen.lift.sessions, monotonic()
        return seen.outcomes >= now.outcomes and monotonic() - self._since_s >= self._rest_s


def reconciliation(counters: Counters, outcomes_read: int, sent: Tally) -> Reconciliation:
    """The store's account, held against what users sent and the outcomes that were read from the topic."""
    return Reconciliation(
        decisions=counters.decisions,
        outcomes=counters.outcomes,
        examples=counters.examples,
        null_rewards=counters.null_rewards,
        capped=counters.capped,
        feedback=counters.feedback,
        feedback_used=counters.feedback_used,
        decisions_dropped={reason.value: count for reason, count in counters.decisions_dropped.items()},
        feedback_dropped={reason.value: count for reason, count in counters.feedback_dropped.items()},
        outcomes_read=outcomes_read,
        decisions_sent=sent.decisions,
        feedback_sent=sent.feedback,
    )


def policy(settings: Settings, split: Split) -> Policy:
    """What the base and what serves at the end would do greedily on prompts that nobody trained on.

    Raises:
        StreamError: there is no serving state.
    """
    lineage = Lineage.of(settings.kafka)
    with CompactedReader("releases", lineage) as reader:
        state = reader.read_to_end(READ_S).get("serving")
    if not isinstance(state, ServingState):
        raise StreamError("the releases topic holds no serving state at the end of the run")
    opener = CheckpointReader(lineage)
    base, live = (opener(release.heads, release.digest) for release in (state.base, state.live))
    return Policy(new=kind_policy(split.new_test, base, live), old=kind_policy(split.old_test, base, live))


def kind_policy(prompts: Prompts, base: Controller, final: Controller) -> KindPolicy:
    """What both would do greedily on these prompts, beside what could be had."""
    first, last = (prompts.expected_success(it.greedy(prompts.features)[:, 0]) for it in (base, final))
    single, ceiling = float(prompts.success.mean(axis=0).max()), float(prompts.best.mean())
    return KindPolicy(first, last, single, ceiling)


def environment() -> Mapping[str, str]:
    """Versions of what took part."""
    found = {"python": platform.python_version(), "machine": platform.platform(), "ol0": VERSION}
    return found | {name: version(name) for name in ("confluent-kafka", "redis", "numpy")}


def settings_that_matter(settings: Settings) -> Mapping[str, str]:
    """Those that a reader of the report needs to know."""
    return {
        "streaming.reward_window_s": f"{settings.streaming.reward_window_s:g}",
        "serving.epsilon": f"{settings.serving.epsilon:g}",
        "serving.holdback": f"{settings.serving.holdback:g}",
        "safety.stages": ", ".join(f"{stage.share:.0%}" for stage in settings.safety.stages),
        "safety.stage_margin": f"{settings.safety.stage_margin:g}",
        "safety.alpha": f"{settings.safety.alpha:g}",
        "safety.cooldown_s": f"{settings.safety.cooldown_s:.2f}",
    }
