"""The training core: turns base and anchors into better heads. Pure: no clock, no store, its own generator."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ol0.config import OnlineLearningConfig
from ol0.controller.checkpoint import read_checkpoint, write_checkpoint
from ol0.controller.controller import Controller
from ol0.controller.heads import Floats, Mixer
from ol0.learning.anchors import AnchorSet
from ol0.learning.batch import Batch, cap_users, join
from ol0.learning.calibration import CLOSED, RegretGauge, calibrate
from ol0.learning.evidence import ranks
from ol0.learning.gradient.ewc import EWCRegularizer
from ol0.learning.gradient.mixer import mixer_loss, shipped_mixer
from ol0.learning.gradient.objective import Forward, Term, anchor_kl, doubly_robust_rewards, gain, total_gradient
from ol0.learning.gradient.priority import importance_exponent, surprise
from ol0.learning.gradient.proximal import proximal
from ol0.learning.gradient.reward_model import Prediction, RewardModel
from ol0.learning.gradient.scaling import Scaling
from ol0.learning.gradient.state import LearnerState, pack_state, unpack_state
from ol0.learning.parts import Parts
from ol0.learning.replay import Replay
from ol0.learning.trainer import Proposal, StepReport, unseen
from ol0.learning.update import Confined, TrustRegion, clip_gradient, kl_to_base, moving_average
from ol0.records import Digest
from ol0.replay.sampling import Slots


class HeadTrainer:
    """Trains the learnt heads, the reward model and the mixer, step by step.

    A checkpoint gets the moving average of the heads and the calibrated mixer.
    """

    def __init__(self, base: Controller, anchors: AnchorSet, config: OnlineLearningConfig, seed: int) -> None:
        """Starts from the base; the same arguments and batches give the same weights, bit for bit.

        Args:
            base: the frozen controller, the reference of every comparison.
            anchors: examples of its good answers.
            config: every number.
            seed: of the generator that draws anchors and that callers draw batches with.
        """
        self._base = base
        self._config = config
        self._seed = seed
        self._parts = Parts(base.choices)
        self._anchors = anchors
        self._scaling = Scaling.of(anchors.logged.features)
        heads = self._scaling.inside(self._parts.stack(base.base))
        trained_on = Forward.of(self._scaling.features(anchors.train.features), heads, self._parts)
        self._base_log_probabilities = trained_on.log_probabilities
        self._ewc = EWCRegularizer.around(heads, trained_on.features, self._parts, config.ewc_lambda)
        self._reward_model = RewardModel(heads, self._parts)
        self._gauge = RegretGauge.of(base, anchors.logged, anchors.held_out)
        self.start_from(base)
        self.follow(base)

    @property
    def rng(self) -> np.random.Generator:
        """The only source of randomness. It is part of the snapshot, so draw batches with it."""
        return self._rng

    @property
    def steps(self) -> int:
        """Steps taken since the start."""
        return self._state.steps

    @property
    def seen(self) -> int:
        """Examples of the replay buffer that were observed or skipped."""
        return self._state.seen

    @property
    def convinced(self) -> bool:
        """Whether there is anything to learn: see ``evidence``. If not, a candidate would answer as the base does."""
        found = self._state.evidence
        strength = min(found.novelty(len(self._anchors.held_out)), found.skill())
        errors = self._config.evidence_errors
        return not errors or (self.varied and (strength >= errors or not len(self._anchors.held_out)))

    @property
    def lead(self) -> float:
        """Infinite: it has no measure of its own doubt."""
        return math.inf

    @property
    def varied(self) -> bool:
        """Whether the last live prompts differ from each other: see ``evidence``."""
        return self._state.evidence.varied

    @property
    def live_rows(self) -> int:
        """Live examples in a batch of the configured size; the rest are anchors."""
        return self._config.batch_size - self._anchor_rows

    @property
    def _anchor_rows(self) -> int:
        wanted = round(self._config.batch_size * self._config.anchor_share)
        return min(wanted, self._config.batch_size - 1) if len(self._anchors.train) else 0

    def start_from(self, controller: Controller) -> None:
        """Discards everything and starts from a controller's learnt heads and mixer."""
        mixer = np.append(controller.mixer.weight, np.float32(0))
        heads = self._parts.stack(controller.learnt)
        self._state = LearnerState.starting_from(self._scaling.inside(heads), self._scaling.inside(mixer))
        self._rng = np.random.default_rng(self._seed)

    def follow(self, live: Controller) -> None:
        """Moves the centre of the trust region to the heads that serve."""
        heads = self._scaling.inside(self._parts.stack(live.learnt))
        self._region = TrustRegion(heads, self._parts, self._config.trust_region)

    def update(self, replay: Replay) -> list[StepReport]:
        """Observes new examples, then takes ``steps_per_update`` steps: each draws, learns, returns priorities."""
        config = self._config
        if fresh := unseen(replay, self.seen):
            self.observe(replay.newest(max(fresh, 0)), replay.examples)
        beta = importance_exponent(replay.examples, config)
        reports = []
        for _ in range(config.steps_per_update):
            drawn = replay.sample(self.live_rows, config.priority_alpha, beta, self.rng)
            report = self.step(drawn.batch, replay.uniform(self.live_rows, self.rng))
            replay.update_priorities(drawn, report.errors)
            reports.append(report)
        return reports

    def observe(self, fresh: Batch, seen: int) -> None:
        """Measures novelty and trust on examples before they are trained on.

        Args:
            fresh: each example for the first and only time.
            seen: examples of the replay buffer up to the last of them.
        """
        state, features = self._state, self._scaling.features(fresh.features)
        predicted = self._predict(features, fresh).served.mean(axis=1)
        among = self._scaling.features(self._anchors.held_out.features) @ state.mixer
        scores = features[state.known.first_times(fresh.features)] @ state.mixer
        self._state = replace(
            state,
            evidence=state.evidence.after(ranks(scores, among), predicted, fresh.rewards).seen(fresh.features),
            known=state.known.after(fresh.features),
            trust=state.trust.seen(fresh.users),
            seen=seen,
        )

    def step(self, live: Batch, uniform: Floats) -> StepReport:
        """Takes one step with heads, reward model and mixer.

        Args:
            live: examples drawn by priority, weighted by importance; normally ``live_rows`` of them.
            uniform: features of live examples drawn uniformly, for the mixer, shape (n, D).
        """
        config, state, count = self._config, self._state, len(live)
        drawn = self._rng.integers(0, len(self._anchors.train), self._anchor_rows) if self._anchor_rows else _NONE
        batch = join(live.weighted(self._live_weights(live)), self._anchor_batch(drawn))
        features = self._scaling.features(batch.features)
        forward = Forward.of(features, state.heads, self._parts)
        prediction = self._predict(features, batch)
        rewards = doubly_robust_rewards(prediction.rewards, batch, self._parts, config.importance_clip)
        anchored = forward.rows(slice(count, None))
        terms = {
            "gain": gain(forward, rewards, batch.weights, self._parts, config.gain_weight),
            "anchor_kl": anchor_kl(anchored, self._base_log_probabilities[drawn], len(batch), config.kl_weight),
            "ewc": self._ewc.term(state.heads),
            "proximal": proximal(state.heads, state.average, config.proximal_mu),
        }
        gradient, norm = clip_gradient(total_gradient(terms.values()), config.gradient_clip)
        extra = {"reward_model": prediction.term, "mixer": self._mixer_term(uniform, anchored.features)}
        confined = self._advance(gradient, extra, features[:count])
        trust = state.trust.drawn(live.users, live.rewards, prediction.served[:count].mean(axis=1))
        self._state = replace(self._state, trust=trust)
        figures = {name: term.value for name, term in (terms | extra).items()}
        figures |= {"gradient_norm": norm, "trust_region_kl": confined.kl, "pulled_back": float(confined.pulled_back)}
        return StepReport(figures, surprise(prediction.errors[:count]))

    def candidate(self, parent: Digest, step: int, budget_share: float = 1.0) -> Proposal:
        """Makes the checkpoint of the moving average, its mixer calibrated on exactly these tensors.

        Args:
            parent: the release that serves.
            step: number of the candidate in the lineage.
            budget_share: usable share of the regret budget.
        """
        heads = self._parts.unstack(self._scaling.outside(self._state.average))
        shipped = replace(self._base, learnt=heads)
        mixer = self._mixer(self._threshold(shipped, budget_share * self._config.regret_budget))
        manifest = replace(self._base.manifest, base=self._base.digest, parent=parent, step=step)
        data = write_checkpoint(manifest, self._base.base, heads, mixer)
        controller = read_checkpoint(data)
        return Proposal(data, controller, self._summary(controller))

    def snapshot(self) -> bytes:
        """Packs everything that changes: weights, averages, optimisers, reward model, mixer, generator, counters.

        Leaves out the constructor's arguments and the live heads that it follows.
        """
        return pack_state(self._state, self._rng.bit_generator.state)

    def restore(self, data: bytes) -> None:
        """Continues exactly where ``snapshot`` was taken.

        Raises:
            CheckpointError: not a snapshot of this base's learner.
        """
        self._state, rng = unpack_state(data, self._state)
        self._rng = np.random.default_rng()
        self._rng.bit_generator.state = rng

    def _threshold(self, shipped: Controller, budget: float) -> float:
        """The mixer's threshold for these heads: closed without evidence, otherwise as low as the budget allows."""
        if not self.convinced:
            return CLOSED
        return calibrate(self._gauge, lambda t: replace(shipped, mixer=self._mixer(t)), budget)

    def _predict(self, features: Floats, batch: Batch) -> Prediction:
        return self._reward_model.predict(features, self._state.theta, batch)

    def _live_weights(self, live: Batch) -> Floats:
        """Omega of live examples: importance times trust, with no user above the cap."""
        trusted = live.weights * self._state.trust.weights(live.users, self._config.trust_floor)
        return cap_users(trusted, live.users, self._config.user_cap)

    def _anchor_batch(self, drawn: Slots) -> Batch:
        weights = np.full(len(drawn), self._config.anchor_weight, np.float32)
        return self._anchors.train.take(drawn).weighted(weights)

    def _mixer_term(self, uniform: Floats, anchors: Floats) -> Term:
        if not len(anchors):
            return Term(0.0, np.zeros_like(self._state.mixer))
        return mixer_loss(self._state.mixer, self._scaling.features(uniform), anchors, self._config.mixer_l2)

    def _advance(self, gradient: Floats, extra: Mapping[str, Term], live: Floats) -> Confined:
        """Moves heads, reward model and mixer; returns the heads within the trust region on live features."""
        state, config, pace = self._state, self._config, self._scaling.pace
        heads_adam, heads = state.heads_adam.step(gradient, pace * config.learning_rate)
        theta_adam, theta = state.theta_adam.step(extra["reward_model"].gradient, pace * config.reward_learning_rate)
        mixer_adam, mixer = state.mixer_adam.step(extra["mixer"].gradient, pace * config.mixer_learning_rate)
        confined = self._region.confine(live, state.heads + heads)
        self._state = replace(
            state,
            heads=confined.heads,
            average=moving_average(state.average, confined.heads, config.ema_decay),
            theta=state.theta + theta,
            mixer=state.mixer + mixer,
            heads_adam=heads_adam,
            theta_adam=theta_adam,
            mixer_adam=mixer_adam,
            steps=state.steps + 1,
        )
        return confined

    def _mixer(self, threshold: float) -> Mixer:
        return shipped_mixer(self._scaling.outside(self._state.mixer), threshold)

    def _summary(self, controller: Controller) -> dict[str, float]:
        return {
            "kl_to_base": kl_to_base(self._base, controller, self._anchors.held_out.features),
            "regret": self._gauge.regret(controller),
            "mixer_threshold": controller.mixer.threshold,
            "novelty": self._state.evidence.novelty(len(self._anchors.held_out)),
            "skill": self._state.evidence.skill(),
            "alike": self._state.evidence.alike,
            "steps": float(self._state.steps),
        }


_NONE = np.zeros(0, np.intp)
