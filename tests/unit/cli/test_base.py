from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from testbed.processes import ol0
from unit.ar1.worlds import SMALL

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 6)).astype(np.float32)
Y = (X[:, :3]).argmax(axis=1)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    router = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    torch.save({f"module.{name}": tensor for name, tensor in router.state_dict().items()}, tmp_path / "router.pt")
    np.savez(tmp_path / "prompts.npz", X=X, y=Y)
    np.savez(tmp_path / "linear.npz", coef=np.eye(3, 6), intercept=np.zeros(3))
    return tmp_path


def test_a_torch_router_is_described_first_and_then_written(files: Path) -> None:
    words = ("base", "from-torch", "router.pt", "--activation", "relu", "--labels", "prompts.npz", "--out", "mine")
    told = ol0(*words, "--dry-run", cwd=files).stdout
    assert "0.weight                 8 x 6" in told
    assert "names came with module., which was left out" in told
    assert "hidden layer   6 to 8, relu; frozen" in told
    assert "nothing was written: --dry-run" in told
    assert not (files / "mine").exists()
    told = ol0(*words, cwd=files).stdout
    assert "next: `ol0 warmup mine --config ol0.toml --write`" in told
    assert {path.name for path in (files / "mine").iterdir()} == {
        "base.safetensors",
        "suite.safetensors",
        "anchors.safetensors",
        "choices.json",
    }
    told = ol0("warmup", "mine", "--dry-run", cwd=files).stdout
    assert "6 features, 3 choices, 300 anchors; worth" in told


MODULE = """
from torch import nn

def build():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
"""


def test_a_module_of_ones_own_is_imported_here_and_what_may_learn_is_named(files: Path) -> None:
    (files / "team_router.py").write_text(MODULE)
    words = ("base", "from-module", "team_router:build", "--labels", "prompts.npz", "--out", "mine")
    told = ol0(*words, "--state", "router.pt", "--trainable", "0.*", cwd=files).stdout
    assert "hidden part    6 to 8, 2 operations, 56 weights; the learner tunes a copy of 0.* (56 weights)" in told
    assert "next: `ol0 warmup mine --config ol0.toml --write`" in told
    assert "hidden layer   6 to 8, relu; frozen" in ol0(*words, "--dry-run", cwd=files).stdout


def test_labels_and_a_linear_router_say_what_they_are_worth(files: Path) -> None:
    told = ol0("base", "from-labels", "prompts.npz", "--out", "mine", cwd=files).stdout
    assert "of the best choices on the suite" in told
    assert "the best single choice is worth" in told
    told = ol0("base", "from-linear", "linear.npz", "--labels", "prompts.npz", "--out", "mine", cwd=files).stdout
    assert "worth          100.0% of the best choices on the suite" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("base", "from-torch", "router.pt"), "name the activation"),
        (("base", "from-torch", "missing.pt"), "No such file"),
        (("base", "from-linear", "router.pt", "--weight", "2.weight"), "2 tensors of rank 1"),
        (("base", "from-module", "nowhere:build"), "nowhere cannot be imported"),
        (("base", "from-ar1", "router.pt"), "for a network of your own: `ol0 base from-torch`"),
        (("warmup", "router.pt", "--dry-run"), "for a network of your own: `ol0 base from-torch`"),
        (("warmup", "--write"), "--write needs a folder that `ol0 base` wrote"),
        (("base", "from-labels", "prompts.npz", "--out", "router.pt"), "--out router.pt is a file; name a folder"),
    ],
)
def test_what_helps_is_in_the_one_line_of_an_error(files: Path, words: tuple[str, ...], said: str) -> None:
    done = ol0(*words, cwd=files)
    assert said in done.stderr
    assert done.returncode in {1, 2}
    assert "Traceback" not in done.stderr


def test_an_ar1_policy_is_written_as_every_other_base(tmp_path: Path) -> None:
    words = ("base", "from-ar1", str(SMALL), "--out")
    assert "nothing was written: --dry-run" in ol0(*words, "mine", "--dry-run", cwd=tmp_path).stdout
    assert not (tmp_path / "mine").exists()
    (tmp_path / "taken").write_text("mine")
    done = ol0(*words, "taken", cwd=tmp_path)
    assert "--out taken is a file; name a folder" in done.stderr
    assert "next: `ol0 warmup mine --config ol0.toml --write`" in ol0(*words, "mine", cwd=tmp_path).stdout
