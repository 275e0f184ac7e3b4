from pathlib import Path

from testbed.processes import ol0


def test_a_soak_without_docker_ends_with_one_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    away = {"DOCKER_HOST": f"unix://{tmp_path / 'nobody.sock'}"}
    soak = ol0("soak", "--stack", "testcontainers", "--out", tmp_path / "run", env=away)
    assert (soak.returncode, soak.stdout) == (1, "")
    assert soak.stderr.startswith("ol0: Docker refuses: ")
    assert soak.stderr.endswith("is the engine up (`docker info`)? `--stack native` works without Docker\n")
    assert len(soak.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()
