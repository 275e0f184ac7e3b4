"""The wheel in an environment of its own: without the checkout, without torch, from another folder."""

import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from ol0.controller.checkpoint import digest_of
from ol0.operator.setup.base_from_labels import prepare
from ol0.stacks.native import NativeStack
from testbed.lineages import small_split, write_settings

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
SDK = """
import sys
from pathlib import Path
import numpy as np
from ol0 import Router
router = Router.local(Path(sys.argv[1]))
with router.prompt("session") as prompt:
    choice = prompt.decide(np.array([0, 1, 0, 0, 0, 0], np.float32))
print(router.serving[1], len(choice.action), sum("torch" in name for name in sys.modules))
"""


@dataclass(frozen=True)
class Elsewhere:
    """An environment into which only the wheel and what it asks for were installed."""

    bin: Path
    folder: Path

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment in a folder that has nothing to do with the checkout."""
        name, *arguments = command
        words = [str(self.bin / name), *map(str, arguments)]
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        return subprocess.run(
            words, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=120
        )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    folder = tmp_path_factory.mktemp("elsewhere")
    venv, lock = folder / "venv", ROOT / "infra" / "requirements.lock"
    for words in (f"venv --python {sys.executable} {venv}", f"pip install --python {venv} --constraint {lock} {wheel}"):
        subprocess.run([UV, "--quiet", *words.split()], cwd=folder, check=True, timeout=240)
    return Elsewhere(venv / "bin", folder)


def test_every_file_that_is_no_code_travels_in_the_wheel(wheel: Path) -> None:
    package = ROOT / "services" / "ol0"
    files = [path for path in package.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".py")]
    wanted = {f"ol0/{path.relative_to(package).as_posix()}" for path in files}
    assert {"ol0/schemas/topics.toml", "ol0/schemas/ids.json", "ol0/schemas/decision.avsc"} < wanted
    assert any(name.endswith(".lua") for name in wanted)
    assert wanted - set(zipfile.ZipFile(wheel).namelist()) == set()


@pytest.mark.slow
def test_the_core_makes_a_lineage_on_a_real_broker_and_store(
    elsewhere: Elsewhere, stack: NativeStack, tmp_path: Path
) -> None:
    # Given settings, and a broker that knows nothing of them.
    config = write_settings(stack, tmp_path, {})
    # When the installed command makes the topics, for which it needs schemas, topics.toml and Lua.
    missing = elsewhere.run("ol0", "topics", "diff", "--config", config)
    made = elsewhere.run("ol0", "topics", "apply", "--config", config)
    again = elsewhere.run("ol0", "topics", "diff", "--config", config)
    # Then they are there, and it knows.
    assert missing.returncode == 1, missing.stderr
    assert ".decisions.v1" in missing.stdout
    assert made.returncode == 0, made.stderr
    assert (again.returncode, again.stdout) == (0, "nothing to change\n"), again.stderr


def test_the_sdk_decides_from_a_checkpoint_without_torch(elsewhere: Elsewhere, tmp_path: Path) -> None:
    # Given the checkpoint of a base.
    data = prepare(small_split(), epsilon=0.1, anchors=10, seed=0).checkpoint
    checkpoint = tmp_path / "base.safetensors"
    checkpoint.write_bytes(data)
    # When a host that has only the core imports the SDK.
    host = elsewhere.run("python", "-c", SDK, checkpoint)
    # Then it decides, and nothing of it comes from the checkout or needs torch.
    assert host.stdout.split() == [digest_of(data), "1", "0"], host.stderr
    assert elsewhere.run("python", "-c", "import torch").returncode != 0
    where = elsewhere.run("python", "-c", "import ol0; print(ol0.__file__)").stdout
    assert Path(where).is_relative_to(elsewhere.folder)
