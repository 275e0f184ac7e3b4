"""Who learns: ours, ours without each of its parts, and what one would write instead."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Protocol, runtime_checkable

import numpy as np

from benchmarks.evaluation.worlds import World
from ol0.config import OnlineLearningConfig
from ol0.controller.controller import Actions, Controller
from ol0.controller.heads import Floats, Mixer
from ol0.learning.adam import Adam
from ol0.learning.batch import Batch
from ol0.learning.engines import trainer_of
from ol0.learning.gradient.priority import importance_exponent
from ol0.learning.parts import Parts, with_bias
from ol0.learning.replay import LocalReplay

OURS: Final = OnlineLearningConfig()
RATE: Final = 0.01
"""Of Adam, with which the lambdas below were chosen."""
CLIP: Final = OURS.importance_clip
OPEN: Final = -1e3  # a threshold that no prompt is below
NEVER: Final = 1e9
USUAL_LAMBDAS: Final = (30.0, 300.0, 1_000.0)
"""Of 1 to 10,000, on seeds 10-14: from forgetting a sixth of what it knew to learning a third of what it could."""


class Contender(Protocol):
    """Somebody who answers prompts and learns from votes: made by ``Make`` from one split's World and a seed.

    Of the world it may use ``base`` and ``anchors`` alone: the rest is what comes, and what it is measured on. Whoever
    plays it explores epsilon-greedily around ``greedy``, unless it is an ``Explorer``.
    """

    def greedy(self, features: Floats) -> Actions:
        """What it would answer now, shape (n, D) to (n,)."""

    def learn(self, batch: Batch) -> None:
        """Takes in the votes of the last ``examples_per_update`` prompts, or fewer."""

    def settle(self) -> None:
        """What was learnt so far serves from now on."""


@runtime_checkable
class Explorer(Protocol):
    """A contender that explores in its own way."""

    def probabilities(self, features: Floats) -> Floats:
        """Of every expert for each prompt, shape (n, D) to (n, K); the one that serves is drawn from them."""


class Frozen:
    """The base, for ever."""

    def __init__(self, world: World, _seed: int) -> None:
        self._base = world.base

    def greedy(self, features: Floats) -> Actions:
        """The base's answer."""
        return self._base.greedy(features)[:, 0]

    def learn(self, batch: Batch) -> None:
        """Nothing."""

    def settle(self) -> None:
        """Nothing."""


class Ours:
    """The project's learner, without gates, delays and arms."""

    def __init__(self, world: World, seed: int, config: OnlineLearningConfig) -> None:
        self._config = config
        self._base = self._serving = world.base
        anchors = world.anchors.shown(world.base.inputs(world.anchors.features))
        self._replay = LocalReplay(config.replay_size, anchors, config.priority_epsilon)
        self._trainer = trainer_of(world.base, anchors, config, seed)
        self._settled = 0

    def greedy(self, features: Floats) -> Actions:
        """What the newest candidate answers."""
        return self._serving.greedy(features)[:, 0]

    def learn(self, batch: Batch) -> None:
        """One update."""
        self._replay.add(batch.shown(self._base.inputs(batch.features)), self._replay.watermark_ms + 1)
        if self._replay.size:
            self._trainer.update(self._replay)

    def settle(self) -> None:
        """The next candidate serves, if there is anything to offer."""
        if self._trainer.convinced and self._trainer.lead >= self._config.lead_errors:
            self._settled += 1
            self.serve(self.served(self.candidate(self._settled)))

    def candidate(self, step: int) -> Controller:
        """What was learnt so far."""
        return self._trainer.candidate(self._serving.digest, step).controller

    def serve(self, controller: Controller) -> None:
        """From now on this one serves."""
        self._serving = controller
        self._trainer.follow(controller)

    def served(self, candidate: Controller) -> Controller:
        """What becomes of a candidate."""
        return candidate


class WithoutMixer(Ours):
    """The learnt heads answer everything."""

    def served(self, candidate: Controller) -> Controller:
        """The same heads behind a mixer that is always open."""
        return replace(candidate, mixer=Mixer(np.zeros_like(candidate.mixer.weight), OPEN))


class _OneHead:
    """A softmax head that starts at the base's, and learns by importance weighting alone."""

    def __init__(self, world: World, seed: int) -> None:
        self.parts = Parts(world.base.choices)
        self.heads = self.serving = self.parts.stack(world.base.base)
        self.baseline = float(world.anchors.rewards.mean())
        self.rng = np.random.default_rng(seed)
        self._adam = Adam.like(self.heads)

    def greedy(self, features: Floats) -> Actions:
        """Its own answer."""
        return np.asarray((with_bias(features) @ self.serving).argmax(axis=1))

    def settle(self) -> None:
        """Its newest weights."""
        self.serving = self.heads

    def step(self, gradient: Floats) -> None:
        """Down the gradient, clipped to norm 1."""
        norm = float(np.linalg.norm(gradient))
        self._adam, delta = self._adam.step(gradient / max(norm, 1.0), RATE)
        self.heads = self.heads + delta


class PlainWeighting(_OneHead):
    """Each vote once, weighted by its inverse propensity: one step for every 32."""

    def learn(self, batch: Batch) -> None:
        """One step."""
        if len(batch):
            self.step(weighted_gradient(self.heads, batch, self.parts, self.baseline))
            self.baseline = 0.98 * self.baseline + 0.02 * float(batch.rewards.mean())


class UsualMix(_OneHead):
    """Inverse propensities, prioritised replay and EWC, put together as they are usually written."""

    def __init__(self, world: World, seed: int, strength: float) -> None:
        super().__init__(world, seed)
        self._centre = self.heads
        self._pull = strength * usual_fisher(self.heads, world.anchors, self.parts)
        self._replay = LocalReplay(OURS.replay_size, world.anchors.take(np.zeros(0, np.intp)), OURS.priority_epsilon)

    def learn(self, batch: Batch) -> None:
        """Eight steps on what is drawn by priority."""
        self._replay.add(batch, self._replay.watermark_ms + 1)
        if not self._replay.size:
            return
        beta = importance_exponent(self._replay.examples, OURS)
        for _ in range(OURS.steps_per_update):
            drawn = self._replay.sample(OURS.batch_size, OURS.priority_alpha, beta, self.rng)
            pull = self._pull * (self.heads - self._centre)
            self._replay.update_priorities(drawn, self._surprise(drawn.batch))
            self.step(weighted_gradient(self.heads, drawn.batch, self.parts, self.baseline) + pull)
        if len(batch):
            self.baseline = 0.98 * self.baseline + 0.02 * float(batch.rewards.mean())

    def _surprise(self, batch: Batch) -> Floats:
        ratios = importance(self.heads, batch, self.parts)
        return np.asarray(ratios * np.abs(batch.rewards - np.float32(self.baseline)))


def importance(heads: Floats, batch: Batch, parts: Parts) -> Floats:
    """min(pi(a) / p, M), shape (n,)."""
    chosen = np.exp(parts.log_softmax(with_bias(batch.features) @ heads))[np.arange(len(batch)), batch.actions[:, 0]]
    return np.minimum(chosen / batch.propensities[:, 0], np.float32(CLIP))


def weighted_gradient(heads: Floats, batch: Batch, parts: Parts, baseline: float) -> Floats:
    """Of -mean_i w_i min(pi(a_i) / p_i, M) (r_i - b), the clipped ratio taken for a constant times pi's own change.

    Shape (D + 1, K). Horvitz and Thompson's weighting with a baseline b; see Swaminathan and Joachims, "Counterfactual
    risk minimization", ICML 2015.
    """
    x = with_bias(batch.features)
    probabilities = np.exp(parts.log_softmax(x @ heads))
    pull = importance(heads, batch, parts) * (batch.rewards - np.float32(baseline)) * batch.weights
    towards = -probabilities
    towards[np.arange(len(batch)), batch.actions[:, 0]] += 1
    return np.asarray(-(x.T @ (pull[:, None] * towards)) / len(batch), np.float32)


def usual_fisher(heads: Floats, logged: Batch, parts: Parts, batch_size: int = 32) -> Floats:
    """The square of a batch's mean gradient of log pi(a), averaged over batches, shape (D + 1, K).

    It is what many implementations of EWC compute, and not the Fisher information, which squares each example's.
    """
    x = with_bias(logged.features)
    towards = -np.exp(parts.log_softmax(x @ heads))
    towards[np.arange(len(logged)), logged.actions[:, 0]] += 1
    batches = np.array_split(np.arange(len(logged)), max(1, len(logged) // batch_size))
    squares = [(x[rows].T @ towards[rows] / len(rows)) ** 2 for rows in batches]
    return np.asarray(np.mean(squares, axis=0), np.float32)


Make = Callable[[World, int], Contender]


def ours(**numbers: float | str) -> Make:
    """The project's learner with some numbers changed."""
    config = OnlineLearningConfig.model_validate(numbers)
    return lambda world, seed: Ours(world, seed, config)


GRADIENT: Final[Mapping[str, float | str]] = {
    "learner": "gradient",
    "regret_budget": 0.8,
    "anchor_weight": 0.3,
}


def gradient(kind: type[Ours] = Ours, **numbers: float | str) -> Make:
    """The one that raises the expected reward step by step, with the numbers that were found for it, but for these."""
    config = OnlineLearningConfig.model_validate({**GRADIENT, **numbers})
    return lambda world, seed: kind(world, seed, config)


def usual(strength: float) -> Make:
    """The usual mix with this lambda."""
    return lambda world, seed: UsualMix(world, seed, strength)


LEARNERS: Final[Mapping[str, Make]] = {"OL0": ours(), "OL0, gradient": gradient()}
"""The project's own. One that is named here is played everywhere, against everybody."""
USUAL_MIX: Final = "IPS + replay + PER + EWC, lambda {:g}"
BASELINES: Final[Mapping[str, Make]] = {
    "frozen base": Frozen,
    "importance weighting": PlainWeighting,
    **{USUAL_MIX.format(strength): usual(strength) for strength in USUAL_LAMBDAS},
    "the legacy numbers": ours(profile="legacy"),
    **LEARNERS,
}
ABLATIONS: Final[Mapping[str, Make]] = {
    "without mixer": gradient(WithoutMixer),
    "without regret budget": gradient(regret_budget=NEVER),
    "without anchors": gradient(anchor_share=0.0),
    "without anchor KL": gradient(kl_weight=0.0),
    "without EWC": gradient(ewc_lambda=0.0),
    "without proximal term": gradient(proximal_mu=0.0),
    "without KL, EWC, proximal": gradient(kl_weight=0.0, ewc_lambda=0.0, proximal_mu=0.0),
    "without priorities": gradient(priority_alpha=0.0),
    "without replay (last 64)": gradient(replay_size=64),
    "without importance (model alone)": gradient(importance_clip=1e-9),
    "without moving average": gradient(ema_decay=0.0),
    "without trust region": gradient(trust_region=NEVER),
    "without caps": gradient(user_cap=1.0),
    "without trust": gradient(trust_floor=1.0),
    "without evidence": gradient(evidence_errors=0.0),
}
CONTENDERS: Final[Mapping[str, Make]] = {**BASELINES, **ABLATIONS}
CEILING: Final = "ceiling"
"""A head trained on the stream with full labels answers the new prompts, the base the old ones, and an oracle says
which is which. No contender: see ``play.ceiling``."""
