import stat
from pathlib import Path

from ol0.config import Settings, load_settings
from testbed.processes import ol0


def test_the_file_says_what_the_defaults_are_but_for_servers_keys_and_port(tmp_path: Path) -> None:
    done = ol0("init", "--servers", "broker:9092", "--prefix", "mine", cwd=tmp_path)
    assert "wrote ol0.toml" in done.stdout
    written, defaults = load_settings(tmp_path / "ol0.toml").model_dump(), Settings().model_dump()
    assert (written["kafka"].pop("bootstrap_servers"), written["kafka"].pop("topic_prefix")) == ("broker:9092", "mine")
    for name in ("bootstrap_servers", "topic_prefix"):
        defaults["kafka"].pop(name)
    for name in ("user_key", "arm_key"):
        assert written["serving"].pop(name) != defaults["serving"].pop(name)
    assert written["observability"].pop("port") == 8080
    defaults["observability"].pop("port")
    assert written == defaults


def test_each_file_has_keys_of_its_own_that_only_its_owner_reads(tmp_path: Path) -> None:
    ol0("init", "a.toml", cwd=tmp_path)
    ol0("init", "b.toml", cwd=tmp_path)
    one, two = (load_settings(tmp_path / name).serving for name in ("a.toml", "b.toml"))
    assert one.user_key != two.user_key
    assert one.arm_key != two.arm_key
    assert stat.S_IMODE((tmp_path / "a.toml").stat().st_mode) == 0o600


def test_a_file_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ol0.toml").write_text("# mine\n")
    done = ol0("init", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "ol0: ol0.toml exists: name another file, or move it away\n")
    assert (tmp_path / "ol0.toml").read_text() == "# mine\n"
