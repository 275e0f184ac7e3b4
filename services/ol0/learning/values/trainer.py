"""The learner of values: refits everything that the replay buffer holds, and says when that is worth an offer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ol0.config import OnlineLearningConfig
from ol0.controller.checkpoint import read_checkpoint, write_checkpoint
from ol0.controller.controller import Controller
from ol0.controller.heads import Doubles, Floats, Head, Mixer, sigmoid, softmax
from ol0.controller.trunk import Trunk, through
from ol0.errors import RangeError
from ol0.learning.batch import Batch, cap_users
from ol0.learning.calibration import CLOSED, THRESHOLDS, Platt
from ol0.learning.evidence import ranks
from ol0.learning.known_prompts import prompt_hashes
from ol0.learning.replay import Replay
from ol0.learning.trainer import Proposal, StepReport, unseen
from ol0.learning.trust import Trust
from ol0.learning.update import kl_to_base
from ol0.learning.values.basis import Basis, rank_for
from ol0.learning.values.belief import Belief, regrets_of
from ol0.learning.values.evidence import SURE, Bet
from ol0.learning.values.fit import FIRST_ROUNDS, ROUNDS, TEMPERATURE, Fit, Votes
from ol0.learning.values.lead import Answered, answers, lead
from ol0.learning.values.novelty import Novelty
from ol0.learning.values.repeats import cells
from ol0.learning.values.ridge import Posterior
from ol0.learning.values.state import Policy, State, pack, unpack
from ol0.records import Digest

if TYPE_CHECKING:
    from ol0.learning.tuning.torch_tuner import TorchTuner  # torch is an extra

GROWTH: Final = 1.25
MOST_BETWEEN: Final = 1_000
"""Examples between two refits: a quarter of those that the last one had, and never more than this."""
LEAST_EXAMPLES: Final = 64
"""Before the first refit; less where ``min_replay`` is less."""


Fitted = tuple[Fit, Votes, Posterior]
"""One part: its fit, the live votes it was made of, and how sure it is."""


class ValueTrainer:
    """Learns what every choice is worth, and answers otherwise than the base where prompts are new and values differ.

    A refit looks at every example that may be drawn: nothing is learnt twice, and what is excluded is forgotten.
    """

    def __init__(
        self, base: Controller, logged: Batch, config: OnlineLearningConfig, tuner: "TorchTuner | None" = None
    ) -> None:
        """Starts from the base; the same arguments and examples give the same candidates.

        Args:
            base: the frozen controller that everything is measured against.
            logged: anchors: decisions of it on its own prompts.
            config: every number.
            tuner: trains hidden layers below the heads; None: there are none, or they are frozen.
        """
        self._tuner = tuner
        self._base, self._config, self._logged, self._serving = base, config, logged, base
        self._shares = self._shares_of(logged)
        first = np.unique(prompt_hashes(self._logged.features), return_index=True)[1]
        order = np.random.default_rng(0).permutation(first)
        kept = int(config.calibration_share * len(first))
        # What tells new prompts from old ones is measured on anchors that it was not found on.
        self._held_out, self._known = logged.features[order[:kept]], np.sort(order[kept:])
        self._anchor_weights = np.full(len(logged), config.anchor_weight)
        self._scored: tuple[Policy, Floats] | None = None
        self._beliefs = tuple(
            Belief.fit(shares, self._logged.actions[:, part], self._logged.rewards).rewards(shares)
            for part, shares in enumerate(self._shares)
        )
        self._state = State()

    @property
    def seen(self) -> int:
        """Examples of the replay buffer that were looked at, or passed over."""
        return self._state.seen

    @property
    def varied(self) -> bool:
        """Whether the last live prompts differ from each other."""
        return self._state.evidence.varied

    @property
    def convinced(self) -> bool:
        """Whether there is anything to learn: prompts are new and votes predictable, or the bet is won.

        New prompts are a reason to believe what the votes on them say; where none looks new, it has to be shown that
        other answers than the base's are worth more.
        """
        errors, state = self._config.evidence_errors, self._state
        new = min(state.evidence.novelty(len(self._held_out)), state.evidence.skill())
        return state.policy is not None and (not errors or (self.varied and max(new, state.won) >= errors))

    @property
    def lead(self) -> float:
        """See ``Trainer``; of the last refit."""
        policy = self._state.policy
        # Before a refit nothing is known, nor of what came to serve since.
        return policy.lead if policy is not None and policy.over == self._serving.digest else 0.0

    def start_from(self, controller: Controller) -> None:
        """Forgets everything: examples are evidence, whatever serves."""
        del controller
        self._state = State()

    def follow(self, live: Controller) -> None:
        """Notes what serves: the next refit finds by how much other answers would be better."""
        self._serving = live

    def update(self, replay: Replay) -> list[StepReport]:
        """Looks at what is new, then refits if there is enough of it."""
        if fresh := unseen(replay, self._state.seen):
            self._observe(replay.newest(max(fresh, 0)), replay.examples)
        state = self._state
        due = min(state.fitted * (GROWTH - 1), MOST_BETWEEN)
        # In a store that was rebuilt there may be fewer examples, or fewer excluded ones.
        excluded = replay.excluded != state.excluded or replay.examples < state.fitted
        if excluded or replay.examples - state.fitted >= due:
            if excluded:
                # They must not live on in where a fit begins, nor in who is believed.
                trust = replace(Trust.nobody(), votes=state.trust.votes)
                self._state = replace(state, policy=None, fits=(), trust=trust)
            live = replay.drawable()
            if excluded or (self._tuner is not None and state.policy is None):
                self._refit(live, replay)  # voters are judged, and hidden layers tuned, by heads of an earlier fit
            self._refit(live, replay)
        return [StepReport(self._terms(), _NO_ERRORS)]

    def candidate(self, parent: Digest, step: int, budget_share: float = 1.0) -> Proposal:
        """The checkpoint of the last refit.

        Args:
            parent: the release that serves.
            step: counts the candidates of the lineage.
            budget_share: share of the regret budget that it may use.
        """
        policy = self._state.policy
        if policy is None:
            raise RangeError("there is no candidate before the first refit: update() first")
        threshold = policy.closed_by(budget_share * self._config.regret_budget) if self.convinced else CLOSED
        shipped = policy.on(self._base, threshold)
        manifest = replace(self._base.manifest, base=self._base.digest, parent=parent, step=step)
        data = write_checkpoint(manifest, self._base.base, shipped.learnt, shipped.mixer)
        controller = read_checkpoint(data)
        return Proposal(data, controller, self._summary(policy, controller, threshold), policy.trunk)

    def snapshot(self) -> bytes:
        """Everything that changes; not the examples, which are the replay buffer's."""
        return pack(self._state)

    def restore(self, data: bytes) -> None:
        """Goes on exactly where ``snapshot`` was taken.

        Raises:
            CheckpointError: not a snapshot of such a learner of this base.
        """
        self._state = unpack(data, self._base, None if self._tuner is None else self._tuner.trunk)

    def _observe(self, fresh: Batch, seen: int) -> None:
        """Bets on examples that nothing was fitted to yet."""
        state = self._state
        bets, evidence = state.bets, state.evidence
        if (policy := state.policy) is not None:
            shown = fresh.shown(policy.inputs(fresh.features))
            first = shown.take(np.flatnonzero(state.known.first_times(fresh.features)))
            bets = self._bets(policy, first)
            scores, among = policy.mixer.scores(first.features), self._held_out_scores(policy)
            predicted = _served(policy.heads, shown).astype(np.float32)
            evidence = evidence.after(ranks(scores, among), predicted, fresh.rewards)
        self._state = replace(
            state,
            bets=bets,
            evidence=evidence.seen(fresh.features),
            known=state.known.after(fresh.features),
            trust=state.trust.seen(fresh.users),
            seen=seen,
        )

    def _held_out_scores(self, policy: Policy) -> Floats:
        """How new the held-out anchors look, asked once for each policy: through hidden layers that takes a while."""
        if self._scored is None or self._scored[0] is not policy:
            self._scored = policy, policy.mixer.scores(policy.inputs(self._held_out))
        return self._scored[1]

    def _bets(self, policy: Policy, fresh: Batch) -> tuple[Bet, Bet]:
        """On prompts that would be answered otherwise, as the policy's heads see them."""
        shipped = policy.on(self._base, policy.closed_by(self._config.regret_budget))
        other = np.flatnonzero((shipped.greedy(fresh.features) != self._base.greedy(fresh.features)).any(axis=1))
        changed = fresh.take(other)
        values = [TEMPERATURE * head.logits(changed.features) for head in policy.heads]
        beliefs = [platt.rewards(share) for platt, share in zip(policy.live, self._shares_of(changed), strict=True)]
        # How good a prompt is for all choices alike moves no answer: who knows no more than that does not win both.
        told = [its + (mine - its).mean(axis=1, keepdims=True) for mine, its in zip(values, beliefs, strict=True)]
        model, *bases = (_mean_of_served(each, changed) for each in (values, beliefs, told))
        rewards = changed.rewards.astype(np.float64)
        plain, second = (bet.after(model, base, rewards) for bet, base in zip(self._state.bets, bases, strict=True))
        return plain, second

    def _refit(self, live: Batch, replay: Replay) -> None:
        state = self._state
        if len(live) < min(LEAST_EXAMPLES, self._config.min_replay):
            self._state = replace(state, policy=None, fits=(), fitted=0, excluded=replay.excluded)
            return
        weights, hashes = self._weights(live), prompt_hashes(live.features)
        shown, logged, trunk = live, self._logged, None
        if self._tuner is not None:
            trunk = self._tuned(self._tuner, live, weights)
            shown, logged = (it.shown(trunk.as_tuned(it.features)) for it in (live, logged))
        basis = Basis.of(rank_for(sum(self._base.choices)), logged.features, shown.features)
        inside, anchored = (basis.inside(it.features) for it in (shown, logged))
        fitted = self._fitted(shown, inside, anchored, weights, hashes)
        directions = basis.directions.astype(np.float64)
        heads = tuple(fit.head(directions) for fit, _, _ in fitted)
        firsts = np.unique(hashes, return_index=True)[1]
        novelty = Novelty.between(anchored[self._known], inside[firsts])
        mixer = Mixer((directions @ novelty.weight).astype(np.float32), -novelty.bias)
        shares = self._shares_of(live)
        believed = tuple(Platt.fit(share, live.rewards) for share in _of_served(shares, live))
        regrets = regrets_of(heads, mixer, logged.features, self._shares, self._beliefs)
        policy = Policy(heads, mixer, regrets, believed, over=self._serving.digest, trunk=trunk)
        served = np.mean([fit.served(votes) for fit, votes, _ in fitted], axis=0).clip(1 - SURE, SURE)
        self._state = replace(
            state,
            policy=replace(policy, lead=self._lead(policy, live, shown, shares, fitted)),
            fits=tuple(fit for fit, _, _ in fitted),
            fitted=replay.examples,
            excluded=replay.excluded,
            refits=state.refits + 1,
            trust=replace(Trust.nobody(), votes=state.trust.votes).drawn(
                live.users, live.rewards, served.astype(np.float32)
            ),
        )

    def _weights(self, live: Batch) -> Doubles:
        """What each vote counts, by whose it is, shape (n,)."""
        trusted = live.weights * self._state.trust.weights(live.users, self._config.trust_floor)
        return cap_users(trusted, live.users, self._config.user_cap).astype(np.float64)

    def _fitted(
        self, live: Batch, inside: Floats, anchored: Floats, weights: Doubles, hashes: NDArray[np.uint64]
    ) -> list[Fitted]:
        """The fit of each part, with its votes, and how sure it is."""
        slopes, fits, found = inside.shape[1], self._state.fits, []
        for part, base in enumerate(self._base.base):
            votes = _votes(live, inside, part, weights)
            anchors = _votes(self._logged, anchored, part, self._anchor_weights)
            # Of an earlier version, or of other directions: its scales are of other slopes.
            continued = bool(fits) and fits[part].scales.slopes == slopes
            before = fits[part] if continued else Fit.nothing(votes.rewards, base.choices, slopes + 1)
            rounds = ROUNDS if continued else FIRST_ROUNDS
            fit, posterior = before.after(votes, anchors, cells(hashes, votes.actions), rounds)
            found.append((fit, votes, posterior))
        return found

    def _tuned(self, tuner: "TorchTuner", live: Batch, weights: Doubles) -> Trunk:
        """Layers trained under the heads of the last refit; before there was one, the base's."""
        policy = self._state.policy
        if policy is None or policy.trunk is None:
            return tuner.trunk
        values = (Head(TEMPERATURE * head.weight, TEMPERATURE * head.bias) for head in policy.heads)
        heads = list(zip(values, (fit.scales for fit in self._state.fits), strict=True))
        return tuner.tune(policy.trunk, heads, live, weights)

    def _lead(
        self, policy: Policy, seen: Batch, shown: Batch, shares: Sequence[Floats], fitted: Sequence[Fitted]
    ) -> float:
        """Standard errors by which live prompts are expected to get better answers than from what serves.

        Args:
            policy: the candidate's.
            seen: what the base's heads see.
            shown: the same as the candidate's heads see it.
            shares: the base's policy on it, (n, K) for each part.
            fitted: of each part.
        """
        serving, inputs = self._serving, through(self._serving.trunk, seen.features)
        threshold = np.float32(policy.closed_by(self._config.regret_budget))
        gate = sigmoid(policy.mixer.scores(shown.features) - threshold)[:, None]
        served_gate = sigmoid(serving.mixer.scores(inputs))[:, None]
        return lead(
            Answered(
                votes.x,
                posterior,
                answers(share, softmax(fit.logits(votes.x)), gate),
                answers(share, softmax(now.logits(inputs)), served_gate),
            )
            for share, now, (fit, votes, posterior) in zip(shares, serving.learnt, fitted, strict=True)
        )

    def _shares_of(self, batch: Batch) -> tuple[Floats, ...]:
        """The base's policy, shape (n, K) for each part."""
        return tuple(softmax(head.logits(batch.features)) for head in self._base.base)

    def _terms(self) -> dict[str, float]:
        fits = self._state.fits
        if not fits:
            return {}
        names = {"noise": [it.scales.noise for it in fits], "own": [it.scales.own for it in fits]}
        names |= {"alike": [it.alike for it in fits]}
        return {name: float(np.mean(numbers)) for name, numbers in names.items()}

    def _summary(self, policy: Policy, controller: Controller, threshold: float) -> dict[str, float]:
        return {
            "kl_to_base": kl_to_base(self._base, controller, policy.inputs(self._logged.features)),
            "regret": float(policy.regrets[THRESHOLDS.index(threshold)]),
            "mixer_threshold": controller.mixer.threshold,
            "novelty": self._state.evidence.novelty(len(self._held_out)),
            "skill": self._state.evidence.skill(),
            "bet": self._state.won,
            "lead": policy.lead,
            "alike": self._state.evidence.alike,
            "refits": float(self._state.refits),
        }


def _of_served(figures: Sequence[Floats | Doubles], batch: Batch) -> list[Floats]:
    """A figure of every choice, (n, K) for each part, of what was served: shape (n,) for each."""
    rows = np.arange(len(batch))
    return [figure[rows, taken] for figure, taken in zip(figures, batch.actions.T, strict=True)]


def _votes(batch: Batch, inside: Floats, part: int, weights: Doubles) -> Votes:
    x = np.column_stack([inside, np.ones(len(batch))])
    return Votes(x, batch.actions[:, part], batch.rewards.astype(np.float64), weights)


def _served(heads: tuple[Head, ...], batch: Batch) -> Doubles:
    """What was served is worth, mean over the parts, within (0, 1), shape (n,)."""
    values = [TEMPERATURE * head.logits(batch.features) for head in heads]
    return np.clip(_mean_of_served(values, batch), 1 - SURE, SURE)


def _mean_of_served(figures: Sequence[Floats | Doubles], batch: Batch) -> Doubles:
    return np.asarray(np.mean(_of_served(figures, batch), axis=0, dtype=np.float64))


_NO_ERRORS = np.zeros((0, 1), np.float32)
