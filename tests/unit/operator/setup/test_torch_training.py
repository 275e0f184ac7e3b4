import numpy as np

from ol0.operator.setup.base_training import train_base
from ol0.operator.setup.network import Network
from ol0.operator.setup.prompts import Prompts
from ol0.operator.setup.torch_training import train_mlp

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2_000, 4)).astype(np.float32)
# Whether two features have the same sign: no linear router can tell.
RIGHT = ((X[:, 0] > 0) == (X[:, 1] > 0)).astype(int)
PROMPTS = Prompts(X, np.eye(2, dtype=np.float32)[RIGHT] * np.float32(0.8) + np.float32(0.1), np.full(2_000, "a"))


def worth(network: Network) -> float:
    head, trunk = network.above(X)
    return PROMPTS.expected_success(head.logits(X if trunk is None else trunk(X)).argmax(axis=1))


def test_hidden_layers_tell_what_no_linear_router_can() -> None:
    assert worth(Network(None, train_base(PROMPTS, 0))) < 0.6
    network = train_mlp(PROMPTS, (16, 8), 0)
    assert network.trunk is not None
    assert [network.trunk.tensors[name].shape for name in ("0.weight", "1.weight")] == [(16, 4), (8, 16)]
    assert worth(network) > 0.8


def test_the_same_seed_gives_the_same_network_and_another_seed_another() -> None:
    first, again, other = (train_mlp(PROMPTS, (4,), seed).head.weight for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
