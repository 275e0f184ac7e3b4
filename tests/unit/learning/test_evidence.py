import numpy as np
import pytest

from ol0.learning.evidence import WINDOW, Evidence, ranks

ANCHORS = 400


def seen(shift: float, agreement: float, rounds: int = 40, seed: int = 0) -> Evidence:
    """32 fresh prompts a round, whose scores lie ``shift`` above the anchors', and votes that follow the prediction."""
    rng, evidence = np.random.default_rng(seed), Evidence()
    anchors = rng.normal(size=ANCHORS).astype(np.float32)
    for _ in range(rounds):
        predicted = rng.choice([0.2, 0.8], 32).astype(np.float32)
        honest = rng.random(32) < predicted
        chance = rng.random(32) < 0.5
        rewards = np.where(rng.random(32) < agreement, honest, chance).astype(np.float32)
        scores = rng.normal(shift, 1, 32).astype(np.float32)
        evidence = evidence.after(ranks(scores, anchors), predicted, rewards)
    return evidence


@pytest.mark.parametrize("seed", range(20))
def test_prompts_like_the_anchors_and_votes_by_chance_prove_nothing(seed: int) -> None:
    evidence = seen(shift=0, agreement=0, seed=seed)
    assert abs(evidence.novelty(ANCHORS)) < 3
    assert abs(evidence.skill()) < 3


def test_prompts_that_look_new_are_novel_and_votes_that_follow_the_prediction_show_skill() -> None:
    evidence = seen(shift=1, agreement=0.8)
    assert evidence.novelty(ANCHORS) > 5
    assert evidence.skill() > 5


def test_each_of_the_two_can_be_missing_by_itself() -> None:
    assert seen(shift=1, agreement=0).skill() < 3 < seen(shift=1, agreement=0).novelty(ANCHORS)
    assert seen(shift=0, agreement=0.8).novelty(ANCHORS) < 3 < seen(shift=0, agreement=0.8).skill()


def test_evidence_fades_as_new_evidence_comes() -> None:
    evidence = seen(shift=1, agreement=0.8, rounds=500)
    assert evidence.count <= WINDOW + 32
    for _ in range(500):
        evidence = evidence.after(np.full(32, 0.5, np.float32), np.full(32, 0.5, np.float32), np.ones(32, np.float32))
    assert evidence.novelty(ANCHORS) < 0.1


def test_a_mixer_that_has_learnt_nothing_finds_a_prompt_as_new_as_it_is_old() -> None:
    same = ranks(np.zeros(3, np.float32), np.zeros(ANCHORS, np.float32))
    assert same.tolist() == [0.5] * 3
    assert ranks(np.array([1, 2, 5], np.float32), np.array([1, 2, 3, 4], np.float32)).tolist() == [0.125, 0.375, 1]


def test_prompts_that_came_before_say_nothing_of_novelty_and_their_votes_do_of_skill() -> None:
    evidence, nobody = seen(shift=1, agreement=0.8), np.zeros(0, np.float32)
    novelty, skill = evidence.novelty(ANCHORS), evidence.skill()
    rewards = np.tile([0, 1], 50).astype(np.float32)
    after = evidence.after(nobody, rewards * np.float32(0.6) + np.float32(0.2), rewards)
    assert after.novelty(ANCHORS) == pytest.approx(novelty)
    assert after.skill() > skill


def test_nothing_seen_is_no_evidence() -> None:
    assert (Evidence().novelty(ANCHORS), Evidence().skill()) == (0, 0)
    assert not ranks(np.ones(3, np.float32), np.zeros(0, np.float32)).any()


def test_prompts_that_are_all_one_are_not_varied_until_others_come() -> None:
    rng = np.random.default_rng(0)
    prompts, one = rng.normal(size=(2_000, 3)).astype(np.float32), np.ones((32, 3), np.float32)
    evidence = Evidence()
    for rows in np.array_split(prompts, 60):
        evidence = evidence.seen(rows)
    assert evidence.varied
    waits = 0
    while evidence.varied:
        evidence, waits = evidence.seen(one), waits + 1
    assert 32 * waits < 256
    for rows in np.array_split(prompts[:200], 6):
        evidence = evidence.seen(rows)
    assert evidence.varied


@pytest.mark.parametrize("kinds", [2, 3, 10])
def test_few_prompts_that_come_again_and_again_are_varied(kinds: int) -> None:
    draws = np.random.default_rng(1).integers(0, kinds, 4_000)
    evidence, prompts = Evidence(), np.eye(kinds, dtype=np.float32)[draws]
    for rows in np.array_split(prompts, 125):
        evidence = evidence.seen(rows)
        assert evidence.varied


def test_one_prompt_alone_says_nothing_of_variety() -> None:
    assert Evidence(alike=0.5).seen(np.ones((1, 3), np.float32)) == Evidence(alike=0.5)
    assert Evidence(alike=0.5).seen(np.ones((0, 3), np.float32)) == Evidence(alike=0.5)
