"""OnlineLearner: the learner in a host's own process. No Kafka, no Redis, no gates: the host decides what serves."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import structlog
from safetensors import SafetensorError
from safetensors.numpy import load

from ol0.config import OnlineLearningConfig
from ol0.controller.controller import Controller
from ol0.controller.packing import pack_tensors
from ol0.controller.warmup import Anchor
from ol0.errors import CheckpointError, ConfigError
from ol0.learning.cadence import lead_needed
from ol0.learning.engines import trainer_of
from ol0.learning.examples import Example, batch_of
from ol0.learning.replay import LocalReplay
from ol0.learning.trainer import Proposal, Trainer
from ol0.learning.training import Training
from ol0.records import Digest, brief


@dataclass(slots=True)
class _Warm:
    """What there is once a base has come in.

    Attributes:
        base: the frozen controller that everything is measured against.
        replay: examples and anchors.
        trainer: learns.
        training: pays for new examples.
        live: what serves: the parent of the next candidate.
        step: of the last candidate; 0: none.
        waits_from: examples when it was made.
    """

    base: Controller
    replay: LocalReplay
    trainer: Trainer
    training: Training
    live: Digest
    step: int = 0
    waits_from: int = 0


class OnlineLearner:
    """Takes examples in, trains what is due, and makes candidates: with the very code of the learner service.

    A base comes first, through ``WarmupManager.warmup_from_ar1(checkpoint, learner.model)`` or ``adopt``; until then
    every other method raises ConfigError. The same base, anchors, config, seed and calls give the same candidates, bit
    for bit. For one thread at a time.

    >>> from ol0 import Base, Example, OnlineLearner, Router
    >>> features = np.eye(4, dtype=np.float32).repeat(50, axis=0)
    >>> base = Base.from_labels(features, labels=features.argmax(axis=1))
    >>> learner = OnlineLearner()
    >>> learner.adopt(base.controller, base.anchors)
    >>> learner.learn(Example(row, (0,), (0.925,), reward=1.0, session_id="s") for row in features[:64])
    2
    >>> learner.obstacle()
    '64 examples so far; the first candidate needs min_replay = 1000'

    Args:
        config: every number; its profile ``legacy`` has those of the code that OL0 takes over from.
        seed: of everything that is drawn.
        clock: seconds, for the figure ``seconds_per_step`` alone.
    """

    def __init__(
        self,
        config: OnlineLearningConfig | None = None,
        *,
        seed: int = 0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.config = config or OnlineLearningConfig()
        self._seed = seed
        self._clock = clock
        self._warm: _Warm | None = None

    @property
    def model(self) -> Self:
        """What a warm-up fills: this learner."""
        return self

    def adopt(self, base: Controller, anchors: Sequence[Anchor]) -> None:
        """Restarts from this base and its anchors. What was learnt from another base is lost.

        Raises:
            RangeError: an anchor does not fit the base; the learner is what it was.
        """
        config = self.config
        logged = batch_of([Example.of(anchor.decision, anchor.reward) for anchor in anchors], base)
        if not anchors:
            structlog.get_logger("ol0.learner").warning(
                "no anchors: nothing holds the learnt heads to the base; give the warm-up a calibration file"
            )
        replay = LocalReplay(config.replay_size, logged, config.priority_epsilon, config.max_age_s)
        trainer = trainer_of(base, logged, config, self._seed)
        training = Training(trainer, replay, config, self._clock)
        self._warm = _Warm(base, replay, trainer, training, base.digest)

    @property
    def base(self) -> Controller:
        """The frozen controller that everything is measured against."""
        return self._warmed().base

    @property
    def replay(self) -> LocalReplay:
        """The examples, and the anchors beside them."""
        return self._warmed().replay

    def learn(self, examples: Iterable[Example], time_ms: int | None = None) -> int:
        """Adds examples and trains what becomes due, as if each had come by itself.

        Takes one at a time, or a whole log: the calls that they come in make no difference.

        Args:
            examples: as for ``add``.
            time_ms: as for ``add``.

        Returns:
            How many updates it made: one for every ``examples_per_update`` examples.

        Raises:
            RangeError: as ``add``.
        """
        warm = self._warmed()
        batch = batch_of(list(examples), warm.base)
        updates, start = self.train(), 0
        while start < len(batch):
            due = self.config.examples_per_update - (warm.replay.examples - warm.training.trained)
            portion = np.arange(start, min(start + due, len(batch)))
            warm.replay.add(batch.take(portion), _time(warm, time_ms))
            updates += self.train()
            start += due
        return updates

    def add(self, examples: Iterable[Example], time_ms: int | None = None) -> None:
        """Puts examples into the replay buffer and trains nothing: for hosts that ``train`` when they have time.

        Args:
            examples: in the order in which they came.
            time_ms: event time in ms at which their rewards were known, which ``max_age_s`` counts from; None: no time
                has passed since the last call.

        Raises:
            RangeError: an example does not fit the base, or time goes back; none was taken.
        """
        warm = self._warmed()
        warm.replay.add(batch_of(list(examples), warm.base), _time(warm, time_ms))

    def train(self) -> int:
        """Pays for all new examples, ``examples_per_update`` of them with an update; returns how many it made.

        The learner looks at examples before it trains on them, to see whether there is anything to learn. Of many that
        came at once it looks at the last 512, all before the first step: ``learn`` shows it more.
        """
        training, total = self._warmed().training, 0
        while updates := training.update_due():
            total += updates
        return total

    def obstacle(self) -> str | None:
        """What is missing for a candidate, in words: examples, training, or evidence. None where there is one."""
        warm, config = self._warmed(), self.config
        if warm.replay.examples < config.min_replay:
            return f"{warm.replay.examples} examples so far; the first candidate needs min_replay = {config.min_replay}"
        if not warm.training.steps:
            return (
                f"nothing was trained since the last candidate: add {config.examples_per_update} examples and train()"
            )
        if not warm.trainer.varied and config.evidence_errors:
            return (
                "nearly all of the last prompts have the same features, which can say nothing then: is the embedder "
                "stuck? There is a candidate again when prompts differ"
            )
        if not warm.trainer.convinced:
            return (
                "it is not shown, by evidence_errors = "
                f"{config.evidence_errors:g} standard errors, that other answers than the base's are worth more: a "
                "candidate would answer as the base does"
            )
        needed = lead_needed(config, examples=warm.replay.examples, waits_from=warm.waits_from)
        if warm.trainer.lead < needed:
            return (
                f"other answers are not expected to be worth more than those that serve by {needed:.2g} standard "
                f"errors (lead_errors = {config.lead_errors:g} at first): more examples may show it"
            )
        return None

    def candidate(self, budget_share: float = 1.0) -> Proposal | None:
        """The next candidate, its ``data`` a checkpoint for ``Router.local``; None while there is an ``obstacle``.

        Args:
            budget_share: share of the regret budget that it may use, within 0..1. The service lowers it after each
                candidate that its gates turn down.
        """
        if self.obstacle() is not None:
            return None
        warm = self._warmed()
        warm.step, warm.waits_from = warm.step + 1, warm.replay.examples
        proposal = warm.trainer.candidate(warm.live, warm.step, budget_share)
        figures = warm.training.figures()
        warm.training.begin_figures()
        return Proposal(proposal.data, proposal.controller, figures | dict(proposal.summary))

    def follow(self, controller: Controller) -> None:
        """Takes in what serves from now on: parent of the next candidate, centre of the trust region.

        Raises:
            CheckpointError: it is neither the base nor a candidate of this base.
        """
        warm = self._warmed()
        if warm.base.digest not in (controller.digest, controller.manifest.base):
            raise CheckpointError(
                f"{brief(controller.digest)} has base {controller.manifest.base}, the learner {warm.base.digest}: "
                "follow what its own candidates became, or adopt the other base"
            )
        warm.trainer.follow(controller)
        warm.live = controller.digest

    def snapshot(self) -> bytes:
        """All that training changed, as bytes for ``restore``.

        Examples stay evidence, also of a bad time: theirs is ``replay.snapshot``.
        """
        warm = self._warmed()
        counters = {
            "base": warm.base.digest,
            "step": warm.step,
            "trained": warm.training.trained,
            "waits_from": warm.waits_from,
        }
        parts = {"trainer": warm.trainer.snapshot(), "counters": json.dumps(counters).encode()}
        return pack_tensors({name: np.frombuffer(part, np.uint8) for name, part in parts.items()})

    def restore(self, data: bytes) -> None:
        """Goes back to where ``snapshot`` was taken; then ``follow`` what serves. No example is paid for twice.

        In a new process: ``adopt`` the same base and anchors, ``replay.restore`` the examples, then this.

        Raises:
            CheckpointError: not a snapshot of a learner of this base, or it has seen examples that are not here; the
                learner is what it was.
        """
        warm = self._warmed()
        try:
            parts = {name: part.tobytes() for name, part in load(data).items()}
            counters = json.loads(parts["counters"])
            base, step, trained = counters["base"], int(counters["step"]), int(counters["trained"])
            waits_from, trainer = int(counters.get("waits_from", 0)), parts["trainer"]
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise CheckpointError(f"no snapshot of an OnlineLearner: {type(error).__name__} {error}") from None
        if base != warm.base.digest:
            raise CheckpointError(f"a snapshot of a learner of base {base}, not {warm.base.digest}: adopt that base")
        if trained > warm.replay.examples:
            raise CheckpointError(
                f"the snapshot has trained on {trained} examples, and the replay buffer had {warm.replay.examples}: "
                "replay.restore() what replay.snapshot() gave with it"
            )
        warm.trainer.restore(trainer)
        warm.step, warm.training.trained = max(warm.step, step), max(warm.training.trained, trained)
        warm.waits_from = max(warm.waits_from, waits_from)
        warm.training.begin_figures()

    def _warmed(self) -> _Warm:
        if self._warm is None:
            raise ConfigError(
                "there is no base to learn from yet: await WarmupManager().warmup_from_ar1(checkpoint, learner.model) "
                "and see that the result says success, or learner.adopt(base, anchors)"
            )
        return self._warm


def _time(warm: _Warm, time_ms: int | None) -> int:
    return warm.replay.watermark_ms if time_ms is None else time_ms
