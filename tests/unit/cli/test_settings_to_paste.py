import tomllib
from pathlib import Path

from ol0.cli.settings_to_paste import settings_to_paste
from ol0.config import SafetyConfig, ServingConfig, Settings

NAMED = "the settings already name these files: run `ol0 run` next"


def warmed_up(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


def test_what_is_printed_can_be_pasted_and_then_names_the_files(tmp_path: Path) -> None:
    # Given a warm-up into a folder that no setting names, with a quote in its name.
    out = tmp_path / 'a "folder"'
    out.mkdir()
    warmed_up(out, "base.safetensors", "suite.safetensors")
    # When what it says is put into the settings.
    _, *lines = settings_to_paste(Settings(), out)
    tree = tomllib.loads("\n".join(lines))
    # Then they name both, wherever the services are started, and nothing is left to paste.
    settings = Settings(**tree)
    assert (settings.serving.base, settings.safety.suite) == (out / "base.safetensors", out / "suite.safetensors")
    assert list(settings_to_paste(settings, out)) == [NAMED]


def test_a_setting_that_is_right_is_not_asked_for_again(tmp_path: Path) -> None:
    out = warmed_up(tmp_path, "base.safetensors", "suite.safetensors")
    settings = Settings(serving=ServingConfig(base=out / ".." / out.name / "base.safetensors"))
    told = "\n".join(settings_to_paste(settings, out))
    assert "[safety]" in told
    assert "[serving]" not in told


def test_a_suite_that_was_not_written_is_not_named(tmp_path: Path) -> None:
    out = warmed_up(tmp_path, "base.safetensors")
    settings = Settings(safety=SafetyConfig(suite=Path("/etc/ol0/own.safetensors")))
    assert "[safety]" not in "\n".join(settings_to_paste(settings, out))
