import numpy as np
import pytest

from ol0.controller.controller import Controller, Manifest
from ol0.controller.heads import Head, Mixer, sigmoid, softmax
from ol0.records import Digest

RNG = np.random.default_rng(3)
FEATURES = RNG.normal(size=(50, 6)).astype(np.float32)


def a_head(choices: int) -> Head:
    return Head(RNG.normal(size=(choices, 6)).astype(np.float32), RNG.normal(size=choices).astype(np.float32))


def a_controller(mixer: Mixer) -> Controller:
    manifest = Manifest(base=None, parent=None, step=0, parts=("expert", "scope"), epsilon=0.1)
    return Controller(Digest("0" * 64), manifest, (a_head(4), a_head(2)), (a_head(4), a_head(2)), mixer)


def test_the_policy_is_the_mixture_of_the_design() -> None:
    controller = a_controller(Mixer(RNG.normal(size=6).astype(np.float32), 0.3))
    gate = sigmoid(FEATURES @ controller.mixer.weight - 0.3)[:, None]
    for part, pi in enumerate(controller.policy(FEATURES)):
        base, learnt = controller.base[part].logits(FEATURES), controller.learnt[part].logits(FEATURES)
        np.testing.assert_allclose(pi, (1 - gate) * softmax(base) + gate * softmax(learnt), atol=1e-6)
        np.testing.assert_allclose(pi.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("threshold", "side"), [(1e9, "base"), (-1e9, "learnt")])
def test_the_threshold_hands_every_prompt_to_one_side(threshold: float, side: str) -> None:
    controller = a_controller(Mixer(np.zeros(6, np.float32), threshold))
    heads = controller.base if side == "base" else controller.learnt
    for part, head in enumerate(heads):
        np.testing.assert_array_equal(controller.greedy(FEATURES)[:, part], head.logits(FEATURES).argmax(axis=1))


def test_one_prompt_is_decided_as_it_is_in_a_batch() -> None:
    controller = a_controller(Mixer(RNG.normal(size=6).astype(np.float32), 0.0))
    np.testing.assert_array_equal(controller.greedy(FEATURES[7]), controller.greedy(FEATURES)[7])
