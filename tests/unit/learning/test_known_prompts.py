import numpy as np

from ol0.controller.heads import Floats
from ol0.learning.known_prompts import BUCKETS, TAGS, KnownPrompts


def prompts(seed: int, count: int = 1_000) -> Floats:
    return np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)


def test_a_prompt_that_came_before_is_known() -> None:
    known = KnownPrompts.none().after(prompts(1))

    assert KnownPrompts.none().first_times(prompts(1)).all()
    assert known.first_times(prompts(1)).mean() < 0.05, "but for those whose bucket another one took"
    assert known.first_times(prompts(2)).mean() > 1 - 1_000 / BUCKETS - 3 / TAGS


def test_of_equal_prompts_in_one_batch_the_first_one_comes_for_the_first_time() -> None:
    batch = prompts(1, 3)[[0, 1, 0, 2, 1]]

    assert KnownPrompts.none().first_times(batch).tolist() == [True, True, False, True, False]


def test_the_smallest_difference_makes_another_prompt() -> None:
    one = prompts(1, 1)
    other = one.copy()
    other[0, 3] = np.nextafter(other[0, 3], np.float32(9))

    assert KnownPrompts.none().after(one).first_times(other).all()


def test_nothing_is_changed_in_place() -> None:
    known = KnownPrompts.none()
    known.after(prompts(1))
    assert not known.tags.any()
