import errno
from pathlib import Path

import pytest
import typer

from ol0.cli.command import EXIT_FAILED, explained, extra
from ol0.errors import ConfigError


def test_what_the_disk_refuses_is_told_with_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(typer.Exit) as ended, explained():
        (tmp_path / "file" / "logs").mkdir()
    assert ended.value.exit_code == EXIT_FAILED
    assert capsys.readouterr().err == f"ol0: {tmp_path / 'file' / 'logs'}: Not a directory\n"


def test_a_full_disk_is_told_though_it_names_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), explained():
        raise OSError(errno.ENOSPC, "No space left on device")
    assert capsys.readouterr().err == "ol0: No space left on device\n"


def test_an_error_that_is_none_of_a_file_keeps_its_traceback() -> None:
    with pytest.raises(ConnectionResetError), explained():
        raise ConnectionResetError(errno.ECONNRESET, "reset by peer")


def test_a_missing_extra_is_told_with_the_line_that_installs_it() -> None:
    with pytest.raises(ConfigError, match=r"jgo is not installed: pip install 'ol0\[local\]'"), extra("local"):
        raise ModuleNotFoundError("No module named 'jgo'", name="jgo")


def test_a_module_of_ours_that_is_missing_is_no_extra() -> None:
    with pytest.raises(ModuleNotFoundError), extra("local"):
        raise ModuleNotFoundError("No module named 'ol0.gone'", name="ol0.gone")
