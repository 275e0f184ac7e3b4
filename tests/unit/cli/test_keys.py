import re
import tomllib
from pathlib import Path

from typer.testing import CliRunner, Result

from ol0.cli import app
from ol0.config import HostKey, load_settings


def keys_host(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["keys", "host", *map(str, words)])


def test_what_is_printed_can_be_pasted_and_is_another_key_every_time() -> None:
    one, other = (tomllib.loads(keys_host().stdout)["serving"] for _ in range(2))
    assert set(one) == set(HostKey)
    assert len({*one.values(), *other.values()}) == 4
    assert all(len(key) >= 43 for key in one.values()), "32 random bytes"


def test_what_is_written_is_not_printed_and_a_key_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "ol0.toml"
    path.write_text('# mine\n[serving]\nuser_key = "since long ago"\n')
    done = keys_host("--config", path, "--write")
    keys = load_settings(path).serving.keys
    assert keys[HostKey.USER] == "since long ago"
    assert keys[HostKey.ARM] not in done.output
    assert re.match(r"wrote serving\.arm_key into .*; give every host the same", done.stdout)
    assert path.read_text().startswith("# mine")
    before = path.read_text()
    assert "has both keys" in keys_host("--config", path, "--write").stdout
    assert path.read_text() == before
