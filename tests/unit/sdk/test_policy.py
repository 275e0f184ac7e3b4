import numpy as np
import pytest

from ol0.controller.checkpoint import read_checkpoint
from ol0.errors import RangeError
from ol0.records import Release
from ol0.sdk.policy import GreedyPolicy
from testbed.serving_states import BASE, LIVE, STAGED, D, features


@pytest.mark.parametrize("release", [BASE, LIVE, STAGED])
def test_it_decides_as_the_controller_does(release: Release) -> None:
    controller = read_checkpoint(release.heads)
    policy = GreedyPolicy(controller)
    prompts = features(3_000)
    assert [policy.greedy(prompt) for prompt in prompts] == [tuple(row) for row in controller.greedy(prompts).tolist()]


def test_the_prompts_of_that_test_need_the_mixture_and_all_it_can_say() -> None:
    controller, prompts = read_checkpoint(LIVE.heads), features(3_000)
    base, learnt = (head.logits(prompts).argmax(axis=1) for head in (controller.base[0], controller.learnt[0]))
    mixed = controller.greedy(prompts)[:, 0]
    disagree = base != learnt
    assert disagree.mean() > 0.3
    assert (mixed[disagree] == base[disagree]).any()
    assert (mixed[disagree] == learnt[disagree]).any()
    assert ((mixed != base) & (mixed != learnt)).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_feature_that_is_not_finite_is_refused(value: float) -> None:
    policy = GreedyPolicy(read_checkpoint(LIVE.heads))
    for place in range(D):
        prompt = features(1)[0]
        prompt[place] = value
        with pytest.raises(RangeError, match="not finite"):
            policy.greedy(prompt)


@pytest.mark.parametrize("shape", [(D + 1,), (1, D), ()])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(RangeError, match=r"\(6,\) is right"):
        GreedyPolicy(read_checkpoint(LIVE.heads)).greedy(np.zeros(shape, np.float32))
