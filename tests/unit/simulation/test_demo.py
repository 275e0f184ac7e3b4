from pathlib import Path

import numpy as np
import pytest

from ol0 import Base
from ol0.cli.runs import _hidden_layers
from ol0.controller.checkpoint import read_checkpoint
from ol0.errors import ConfigError
from ol0.operator.setup.prompts import Prompts
from ol0.simulation.demo import base_in, base_with_hidden_layers

X = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
PROMPTS = Prompts(X, np.eye(3, dtype=np.float32)[X[:, :3].argmax(axis=1)], np.full(300, "a"))


def test_a_base_of_ones_own_is_taken_as_it_is_for_prompts_that_it_fits(tmp_path: Path) -> None:
    base = Base.from_linear(np.eye(3, 6))
    base.save(tmp_path)
    make = base_in(tmp_path)
    assert make(PROMPTS) == base.data
    with pytest.raises(ConfigError, match=r"takes 6 features and has \(3,\) choices; the prompts have 5 and \(3,\)"):
        make(Prompts(X[:, :5], PROMPTS.success, PROMPTS.groups))


def test_a_folder_without_a_base_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        base_in(tmp_path)


def test_hidden_layers_are_trained_for_the_demo() -> None:
    base = read_checkpoint(base_with_hidden_layers((8,), 0, 0.2)(PROMPTS))
    assert base.trunk is not None
    assert (base.trunk.hidden, base.dimension, base.manifest.epsilon) == (8, 6, 0.2)


@pytest.mark.parametrize(("head", "widths"), [("linear", ()), ("mlp:128", (128,)), ("mlp:256,64", (256, 64))])
def test_a_head_is_named_by_the_widths_of_its_layers(head: str, widths: tuple[int, ...]) -> None:
    assert _hidden_layers(head) == widths


@pytest.mark.parametrize("head", ["mlp", "mlp:", "mlp:0", "mlp:9999", "mlp:a", "linear:3", "tree"])
def test_another_head_is_refused_with_the_right_form(head: str) -> None:
    with pytest.raises(ConfigError, match="such as mlp:128"):
        _hidden_layers(head)
