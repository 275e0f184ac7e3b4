"""docs/your-own-router.md does what it says, as it is."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from ol0.operator.setup.base_folder import read_saved_base

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "your-own-router.md").read_text(encoding="utf-8")
BLOCKS = dict(
    zip(
        re.findall(r"^## (.*)$(?=(?:(?!^## ).*\n)*?```python)", PAGE, re.MULTILINE),
        re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE),
        strict=True,
    )
)
FOLDERS = {"Labels": "from-labels", "scikit-learn": "from-sklearn", "A network in torch": "from-torch"}


def run(title: str) -> str:
    with redirect_stdout(StringIO()) as told:
        exec(BLOCKS[title], {})  # noqa: S102 - our own page
    return told.getvalue()


@pytest.fixture(autouse=True)
def _where_the_prompts_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(900, 12)).astype(np.float32)
    np.savez(tmp_path / "prompts.npz", X=features, y=(features @ rng.normal(size=(12, 4))).argmax(axis=1))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("title", FOLDERS)
def test_a_block_makes_a_folder_that_a_warm_up_takes(title: str, tmp_path: Path) -> None:
    run(title)
    saved = read_saved_base(tmp_path / FOLDERS[title])
    assert (saved.controller.dimension, saved.controller.choices) == (12, (4,))
    assert saved.suite is not None
    assert len(saved.warmup.anchors) == 675
    assert saved.warmup.suite_pass_share > 0.7


def test_a_mixture_keeps_its_forward_and_only_its_gate_may_learn(tmp_path: Path) -> None:
    assert "the learner tunes a copy of gate.* (39 weights)" in run("Any other module")
    trunk = read_saved_base(tmp_path / "from-mixture").controller.trunk
    assert trunk is not None
    assert set(trunk.tuned) == {"gate.weight", "gate.bias"}


def test_a_gate_learns_a_new_kind_of_prompts_above_its_frozen_encoder() -> None:
    before, after = (int(share) for share in re.findall(r"(\d+)%", run("A frozen encoder with a gate")))
    assert before < 60
    assert after > 90


def test_hidden_layers_learn_what_no_sum_of_features_tells() -> None:
    before, after = (int(share) for share in re.findall(r"(\d+)%", run("Hidden layers that learn")))
    assert before < 60
    assert after > 80


def test_every_block_is_run() -> None:
    assert set(BLOCKS) == {*FOLDERS, "Any other module", "A frozen encoder with a gate", "Hidden layers that learn"}
