import os
from pathlib import Path

import pytest

from ol0.cli.legacy_line import is_legacy_line, name_places, parse
from ol0.config import load_settings

CONFIG = ("--config", "ol0.json")
WARMUP = (("topics", "apply", *CONFIG), ("warmup", "AR1.pt", *CONFIG))


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        ("", (("run", *CONFIG),)),
        ("--stream-only", (("run", *CONFIG),)),
        ("--warmup-from AR1.pt", (*WARMUP, ("run", *CONFIG))),
        ("--report-only", (("report", *CONFIG),)),
        ("--soak-test", (("soak", "--duration-hours", "24"),)),
        (
            "--warmup-from AR1.pt --soak-test --duration-hours 0.5",
            (*WARMUP, ("soak", "--duration-hours", "0.5")),
        ),
        (
            "--warmup-from AR1.pt --calibration log.npz --report-only",
            (WARMUP[0], ("warmup", "AR1.pt", "--calibration", "log.npz", *CONFIG), ("status", *CONFIG)),
        ),
    ],
)
def test_a_line_of_the_seeds_stands_for_todays_commands(line: str, commands: tuple[tuple[str, ...], ...]) -> None:
    words = [*CONFIG, *line.split()]
    assert is_legacy_line(words)
    assert parse(words).commands == commands
    assert parse(words).config == Path("ol0.json")


@pytest.mark.parametrize("line", ["", "run --config a", "--help", "warmup AR1.pt", "status"])
def test_todays_own_lines_are_left_alone(line: str) -> None:
    assert not is_legacy_line(line.split())


@pytest.mark.parametrize("line", ["--config a --soak-test --report-only", "--warmup-from a", "--config a --unknown"])
def test_a_line_that_makes_no_sense_ends_with_the_usage(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(line.split())
    assert ended.value.code == 2
    assert "usage: python -m ol0" in capsys.readouterr().err


def test_settings_that_name_no_base_and_no_suite_get_places_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OL0_SERVING__BASE", "OL0_SAFETY__SUITE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    name_places(load_settings(None))
    settings = load_settings(None)
    assert settings.serving.base == Path("runs/warmup/base.safetensors")
    assert settings.safety.suite == Path("runs/warmup/suite.safetensors")


def test_places_that_the_settings_name_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OL0_SERVING__BASE", "mine.safetensors")
    monkeypatch.setenv("OL0_SAFETY__SUITE", "my-suite.safetensors")
    name_places(load_settings(None))
    assert (os.environ["OL0_SERVING__BASE"], os.environ["OL0_SAFETY__SUITE"]) == (
        "mine.safetensors",
        "my-suite.safetensors",
    )
