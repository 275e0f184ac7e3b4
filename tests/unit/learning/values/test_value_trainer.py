from dataclasses import replace

import numpy as np
import pytest

from ol0.config import OnlineLearningConfig
from ol0.controller.checkpoint import digest_of, read_checkpoint, write_checkpoint
from ol0.controller.controller import Controller
from ol0.errors import CheckpointError, RangeError
from ol0.learning.batch import Batch, join
from ol0.learning.calibration import CLOSED
from ol0.learning.replay import LocalReplay
from ol0.learning.values import trainer as trainer_module
from ol0.learning.values.fit import FIRST_ROUNDS, ROUNDS, Fit, Votes
from ol0.learning.values.ridge import Numbers, Posterior
from ol0.learning.values.trainer import LEAST_EXAMPLES, ValueTrainer
from unit.learning.learner_world import SHAPES, logged, make_base

BASE = make_base()
# As a lineage has it; nobody asks for evidence where a test is about something else.
ASKED = OnlineLearningConfig(regret_budget=0.8, min_replay=16)
SMALL = ASKED.model_copy(update={"evidence_errors": 0.0})


class World:
    """A trainer and its replay buffer."""

    def __init__(
        self, base: Controller = BASE, config: OnlineLearningConfig = SMALL, anchors: Batch | None = None
    ) -> None:
        logged_by_base = logged(base, 600) if anchors is None else anchors
        self.base, self.replay = base, LocalReplay(config.replay_size, logged_by_base, config.priority_epsilon)
        self.trainer = ValueTrainer(base, logged_by_base, config)

    def learn(self, batch: Batch, portion: int = 64) -> "World":
        """From examples as they come."""
        for start in range(0, len(batch), portion):
            self.replay.add(batch.take(np.arange(start, min(start + portion, len(batch)))), watermark_ms=0)
            self.trainer.update(self.replay)
        return self

    def candidate(self, budget_share: float = 1.0) -> bytes:
        return self.trainer.candidate(self.base.digest, 1, budget_share).data

    def shipped(self, budget_share: float = 1.0) -> Controller:
        return read_checkpoint(self.candidate(budget_share))

    def exclude(self, rows: np.ndarray) -> None:
        """As the store does: they are not drawn any more."""
        self.replay.exclude(rows)


def new(base: Controller, n: int, seed: int = 2) -> Batch:
    return logged(base, n, seed=seed, new=True)


def coins(batch: Batch, seed: int = 5) -> Batch:
    return replace(batch, rewards=np.random.default_rng(seed).integers(0, 2, len(batch)).astype(np.float32))


# -- what it learns -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choices", SHAPES, ids=str)
def test_it_learns_new_prompts_and_keeps_the_old_ones(choices: tuple[int, ...]) -> None:
    # Given prompts of a kind on which the base is never right: there its next choice is
    base = make_base(choices)
    fresh, old = new(base, 600, seed=7).features, logged(base, 600, seed=8).features
    # When it learns from the feedback on one choice at a time
    shipped = World(base).learn(new(base, 5_000), portion=250).shipped()
    # Then it is often right in every part, and old answers are what they were
    right = (base.greedy(fresh) + 1) % np.array(base.choices)
    assert ((shipped.greedy(fresh) == right).mean(axis=0) > 0.4).all()
    assert (shipped.greedy(old) == base.greedy(old)).mean() > 0.97


def test_a_snapshot_of_other_directions_is_continued_by_a_first_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a snapshot of a version that kept fewer directions
    monkeypatch.setattr(trainer_module, "rank_for", lambda _: 2)
    world = World().learn(new(BASE, 400))
    snapshot = world.trainer.snapshot()
    # When one that keeps all of them goes on
    monkeypatch.setattr(trainer_module, "rank_for", lambda _: 384)
    rounds: list[int] = []
    after = Fit.after

    def counted(fit: Fit, live: Votes, anchors: Votes, cell: Numbers, given: int) -> tuple[Fit, Posterior]:
        rounds.append(given)
        return after(fit, live, anchors, cell, given)

    monkeypatch.setattr(Fit, "after", counted)
    other = World()
    other.replay = world.replay
    other.trainer.restore(snapshot)
    other.learn(new(BASE, 800, seed=3))
    # Then its first refit takes as many rounds as any first one
    assert rounds[0] == FIRST_ROUNDS
    assert set(rounds[len(BASE.choices) :]) == {ROUNDS}


@pytest.mark.parametrize("choices", SHAPES[:2], ids=str)
def test_what_new_prompts_want_convinces_it(choices: tuple[int, ...]) -> None:
    base = make_base(choices)
    world = World(base, ASKED).learn(new(base, 2_000))
    fresh = new(base, 600, seed=7).features
    assert world.trainer.convinced
    assert (world.shipped().greedy(fresh) != base.greedy(fresh)).any(axis=1).mean() > 0.5


def moved(batch: Batch, at: float, seed: int) -> Batch:
    """The first feature around there, whatever it was."""
    features = batch.features.copy()
    features[:, 0] = np.random.default_rng(seed).normal(at, 2, len(batch))
    return replace(batch, features=features)


def test_where_one_feature_tells_old_from_new_it_opens_above_the_last_old_prompt() -> None:
    # Given a base that looks at the other features, and a few old prompts that look rather new
    first = BASE.base[0]
    heads = (replace(first, weight=first.weight * (np.arange(BASE.dimension) > 0)),)
    base = read_checkpoint(write_checkpoint(BASE.manifest, heads, heads, BASE.mixer))
    anchors = moved(logged(base, 600), -5, 1)
    anchors.features[:30, 0] = 2.5
    # When it learns from new ones, which lie far away
    shipped = World(base, SMALL, anchors).learn(moved(new(base, 2_000), 5, 2), portion=250).shipped()
    # Then what looks newer than any old prompt is answered otherwise, and nothing else is
    old, fresh = (moved(logged(base, 600, seed=seed), at, seed).features for seed, at in ((8, -5), (7, 5)))
    assert (shipped.greedy(old) == base.greedy(old)).all()
    assert (shipped.greedy(fresh) != base.greedy(fresh)).mean() > 0.3


def test_it_is_ahead_of_what_serves_until_that_is_its_own_candidate() -> None:
    # Given what new prompts want, learnt beside the base
    world = World(BASE, ASKED).learn(new(BASE, 2_000))
    proposal = world.trainer.candidate(BASE.digest, 1)
    assert world.trainer.lead > 1
    # When its candidate serves, which changes nothing that a restart has to know
    snapshot = world.trainer.snapshot()
    world.trainer.follow(proposal.controller)
    assert world.trainer.snapshot() == snapshot
    # Then the next one has to be refitted, and has less to gain
    assert world.trainer.lead == 0
    world.learn(new(BASE, 600, seed=3))
    assert world.trainer.candidate(BASE.digest, 1).summary["lead"] < proposal.summary["lead"] / 2


def test_a_candidate_is_a_checkpoint_beside_the_bases_own_heads() -> None:
    proposal = World().learn(new(BASE, 320)).trainer.candidate(BASE.digest, 4)
    read = read_checkpoint(proposal.data)
    assert read.digest == digest_of(proposal.data) == proposal.controller.digest
    assert (read.manifest.base, read.manifest.parent, read.manifest.step) == (BASE.digest, BASE.digest, 4)
    for mine, given in zip(read.base, BASE.base, strict=True):
        np.testing.assert_array_equal(mine.weight, given.weight)
        np.testing.assert_array_equal(mine.bias, given.bias)
    assert {"kl_to_base", "regret", "mixer_threshold", "skill"} <= set(proposal.summary)
    assert all(np.isfinite(figure) for figure in proposal.summary.values())


def test_the_same_examples_make_the_same_candidate() -> None:
    assert World().learn(new(BASE, 640)).candidate() == World().learn(new(BASE, 640)).candidate()


def test_caution_closes_the_mixer() -> None:
    # Given new prompts that lie so near the old ones that other answers cost something there
    anchors, batch = logged(BASE, 600), new(BASE, 1_500)
    anchors.features[:, 0] += 1
    batch.features[:, 0] -= 1
    world = World(BASE, SMALL, anchors).learn(batch)
    bold, careful = world.shipped(), world.shipped(0.0)
    assert careful.mixer.threshold > bold.mixer.threshold
    assert world.trainer.candidate(BASE.digest, 1, 0.0).summary["regret"] <= 0


def test_who_contradicts_everybody_counts_for_less() -> None:
    # Given one user in eight whose votes are inverted
    batch = new(BASE, 3_000)
    liars = batch.users < 5
    batch = replace(batch, rewards=np.where(liars, 1 - batch.rewards, batch.rewards).astype(np.float32))
    world = World().learn(batch)
    weights = world.trainer._state.trust.weights(np.arange(40).astype(np.uint64), SMALL.trust_floor)
    assert weights[:5].max() < 0.5 < weights[5:].min()


@pytest.mark.parametrize("choices", SHAPES[:2], ids=str)
def test_it_learns_without_any_anchor_too(choices: tuple[int, ...]) -> None:
    base = make_base(choices)
    world = World(base, SMALL, logged(base, 0)).learn(new(base, 1_500))
    fresh = new(base, 500, seed=7).features
    proposal = world.trainer.candidate(base.digest, 1)
    right = (base.greedy(fresh) + 1) % np.array(base.choices)
    assert (proposal.controller.greedy(fresh) == right).mean() > 0.5
    assert all(np.isfinite(figure) for figure in proposal.summary.values())


# -- what convinces it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_votes_that_are_coins_do_not_convince_it(seed: int) -> None:
    world = World(BASE, ASKED)
    batch = coins(new(BASE, 1_500, seed=20 + seed), seed)
    for start in range(0, 1_500, 100):
        world.learn(batch.take(np.arange(start, start + 100)))
        assert not world.trainer.convinced
    assert world.trainer._state.refits > 1
    assert world.shipped().mixer.threshold > CLOSED / 2


@pytest.mark.parametrize("seed", range(3))
def test_old_prompts_do_not_convince_it(seed: int) -> None:
    world = World(BASE, ASKED)
    batch = logged(BASE, 1_500, seed=30 + seed)
    for start in range(0, 1_500, 100):
        world.learn(batch.take(np.arange(start, start + 100)))
        assert not world.trainer.convinced


@pytest.mark.parametrize("seed", range(3))
def test_who_knows_only_which_prompts_are_hard_for_everybody_is_not_convinced(seed: int) -> None:
    # Given prompts whose votes depend on the prompt and on no choice, as its anchors' did
    anchors, votes = (hard_or_easy(logged(BASE, n, seed=seed + n), seed) for n in (600, 4_000))
    world = World(BASE, ASKED, anchors).learn(votes)
    # Then votes are predicted well, and that earns nothing
    assert world.trainer._state.evidence.skill() > ASKED.evidence_errors
    assert world.trainer._state.won < 1
    assert not world.trainer.convinced


@pytest.mark.parametrize("seed", range(3))
def test_where_a_base_is_wrong_on_its_own_prompts_they_need_not_look_new(seed: int) -> None:
    base = make_base((3,))
    anchors, votes = (next_one_right(base, logged(base, n, seed=seed + n)) for n in (600, 4_000))
    world = World(base, ASKED, anchors).learn(votes)
    assert world.trainer._state.won > ASKED.evidence_errors
    assert world.trainer.convinced


def next_one_right(base: Controller, batch: Batch) -> Batch:
    right = (base.greedy(batch.features) + 1) % base.choices[0] == batch.actions
    return replace(batch, rewards=right[:, 0].astype(np.float32))


def hard_or_easy(batch: Batch, seed: int) -> Batch:
    chance = np.where(batch.features[:, 0] > np.median(batch.features[:, 0]), 0.9, 0.1)
    return replace(batch, rewards=(np.random.default_rng(seed).random(len(batch)) < chance).astype(np.float32))


def test_a_prompt_that_comes_again_is_no_evidence() -> None:
    world = World(BASE, ASKED).learn(new(BASE, 256))
    before = world.trainer._state.bets
    for _ in range(10):
        world.learn(new(BASE, 256))
    assert world.trainer._state.bets == before


def test_one_prompt_again_and_again_does_not_convince_it() -> None:
    world = World(BASE, ASKED).learn(new(BASE, 1_500))
    assert world.trainer.convinced
    batch = new(BASE, 600, seed=3)
    world.learn(replace(batch, features=np.tile(batch.features[:1], (600, 1))))
    assert not world.trainer.varied
    assert not world.trainer.convinced


@pytest.mark.parametrize("config", [ASKED, SMALL], ids=["asked", "nobody asks"])
def test_before_the_first_refit_nothing_convinces_it_and_there_is_no_candidate(config: OnlineLearningConfig) -> None:
    world = World(BASE, config.model_copy(update={"min_replay": 1_000})).learn(new(BASE, LEAST_EXAMPLES - 1))
    assert not world.trainer.convinced
    with pytest.raises(RangeError, match=r"before the first refit: update\(\) first"):
        world.candidate()


# -- what it forgets, and where it goes on ------------------------------------------------------------------------


def test_examples_that_were_excluded_are_forgotten() -> None:
    # Given a learner that has learnt from somebody's examples, refit after refit, and one that never saw them
    good, bad, other = new(BASE, 320), coins(new(BASE, 160, seed=9)), new(BASE, 1, seed=11)
    bad = replace(bad, users=bad.users + np.uint64(100))
    world, clean = World().learn(join(bad, good)), World().learn(join(other, good), portion=321)
    # When these are excluded, and of the other one, something else
    world.exclude(np.arange(160))
    clean.exclude(np.arange(1))
    for it in (world, clean):
        it.trainer.update(it.replay)
    # Then nothing tells what they offer apart
    assert world.candidate() == clean.candidate()


def test_an_exclusion_shows_though_as_many_new_examples_come_before_the_next_update() -> None:
    # Given a learner that has refitted on somebody's examples
    world = World().learn(new(BASE, 320))
    # When they are excluded and others come in their place, too few for a refit
    world.exclude(np.arange(16))
    before = world.trainer._state.refits
    world.learn(new(BASE, 16, seed=9))
    # Then it forgets them at once, and does not do so again
    after = world.trainer._state.refits
    assert after == before + 2
    world.learn(new(BASE, 16, seed=10))
    assert world.trainer._state.refits == after


def test_examples_that_became_too_old_leave_with_the_next_refit() -> None:
    world = World().learn(new(BASE, 320))
    before = world.trainer._state.refits
    world.replay._max_age_ms = 1_000
    world.replay.add(new(BASE, 16, seed=9), watermark_ms=2_000)
    world.trainer.update(world.replay)
    assert world.replay.size == 16
    assert world.trainer._state.refits == before


def test_when_all_examples_are_excluded_nothing_is_left() -> None:
    world = World().learn(new(BASE, 200))
    world.exclude(np.arange(200))
    world.trainer.update(world.replay)
    assert not world.trainer.convinced
    with pytest.raises(RangeError):
        world.candidate()


@pytest.mark.parametrize("examples", [32, 640])
def test_after_a_restore_it_goes_on_bit_for_bit(examples: int) -> None:
    steady, again = World(config=ASKED).learn(new(BASE, examples)), World(config=ASKED)
    snapshot = steady.trainer.snapshot()
    again.replay.restore(steady.replay.snapshot())
    again.trainer.restore(snapshot)
    assert again.trainer.snapshot() == snapshot
    for world in (steady, again):
        world.learn(new(BASE, 640, seed=9))
    assert again.trainer.snapshot() == steady.trainer.snapshot() != snapshot
    assert again.candidate() == steady.candidate()


def test_a_restore_takes_back_everything_and_a_start_forgets_everything() -> None:
    world = World()
    fresh = world.trainer.snapshot()
    before = world.learn(new(BASE, 320)).trainer.snapshot()
    candidate = world.candidate()
    world.learn(coins(new(BASE, 320, seed=9)))
    assert world.candidate() != candidate
    world.trainer.restore(before)
    assert world.candidate() == candidate
    world.trainer.start_from(world.shipped())
    assert world.trainer.snapshot() == fresh


def test_a_snapshot_of_another_base_is_refused_and_changes_nothing() -> None:
    world = World().learn(new(BASE, 128))
    before, other = world.trainer.snapshot(), make_base((2, 3))
    with pytest.raises(CheckpointError, match="another base"):
        world.trainer.restore(World(other).learn(new(other, 128)).trainer.snapshot())
    assert world.trainer.snapshot() == before


def test_a_store_that_was_rebuilt_with_less_is_looked_at_again_as_soon_as_it_grows() -> None:
    world = World().learn(new(BASE, 320))
    less = World()
    less.trainer.restore(world.trainer.snapshot())
    less.learn(new(BASE, 100), portion=100)
    assert less.trainer.seen == 100
    less.learn(new(BASE, 20, seed=9))
    assert less.trainer.seen == 120
