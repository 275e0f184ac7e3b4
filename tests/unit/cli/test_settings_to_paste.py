import tomllib
from pathlib import Path

import pytest

from ol0.cli.settings_to_paste import settings_that_miss, settings_to_paste, write_settings
from ol0.config import SafetyConfig, ServingConfig, Settings, load_settings
from ol0.errors import ConfigError

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
    _, *lines = settings_to_paste(settings_that_miss(Settings(), out))
    tree = tomllib.loads("\n".join(lines))
    # Then they name both, wherever the services are started, and nothing is left to paste.
    settings = Settings(**tree)
    assert (settings.serving.base, settings.safety.suite) == (out / "base.safetensors", out / "suite.safetensors")
    assert list(settings_to_paste(settings_that_miss(settings, out))) == [NAMED]


def test_a_setting_that_is_right_is_not_asked_for_again(tmp_path: Path) -> None:
    out = warmed_up(tmp_path, "base.safetensors", "suite.safetensors")
    settings = Settings(serving=ServingConfig(base=out / ".." / out.name / "base.safetensors"))
    told = "\n".join(settings_to_paste(settings_that_miss(settings, out)))
    assert "[safety]" in told
    assert "[serving]" not in told


def test_a_suite_that_was_not_written_is_not_named(tmp_path: Path) -> None:
    out = warmed_up(tmp_path, "base.safetensors")
    settings = Settings(safety=SafetyConfig(suite=Path("/etc/ol0/own.safetensors")))
    assert "[safety]" not in "\n".join(settings_to_paste(settings_that_miss(settings, out)))


def test_what_is_written_keeps_what_the_file_had_and_is_then_enough(tmp_path: Path) -> None:
    out = warmed_up(tmp_path, "base.safetensors", "suite.safetensors")
    path = tmp_path / "ol0.toml"
    path.write_text('# ours\n[kafka]\nbootstrap_servers = "broker:9092"  # the new one\n\n[serving]\nepsilon = 0.2\n')
    told = write_settings(path, settings_that_miss(load_settings(path), out, share=0.7183))
    assert "warmup.canary_threshold = 0.71" in told
    settings = load_settings(path)
    assert (settings.kafka.bootstrap_servers, settings.serving.epsilon) == ("broker:9092", 0.2)
    assert settings.warmup.canary_threshold == 0.71
    assert "# the new one" in path.read_text()
    assert settings_that_miss(settings, out, share=0.7183) == {}


@pytest.mark.parametrize("name", [None, "ol0.json", "missing.toml", "broken.toml"])
def test_settings_are_written_into_toml_alone(tmp_path: Path, name: str | None) -> None:
    (tmp_path / "broken.toml").write_text("[kafka")
    with pytest.raises(ConfigError):
        write_settings(None if name is None else tmp_path / name, {("serving", "base"): "base.safetensors"})
