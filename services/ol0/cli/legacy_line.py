"""Translates the legacy command line into today's commands.

    python -m ol0 --config FILE [--warmup-from AR1.pt [--calibration FILE]]
                  [--soak-test [--duration-hours H] | --report-only | --stream-only]

It warms up if asked (after creating topics and store), then streams until SIGTERM, as ``ol0 run`` does. ``--soak-test``
runs a soak test instead, with its own stack and base. ``--report-only`` prints ``ol0 report``, or ``ol0 status`` right
after a warm-up, when nothing has been evaluated yet.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ol0.config import Settings

FLAGS: Final = frozenset(
    {
        "--config",
        "--warmup-from",
        "--calibration",
        "--soak-test",
        "--duration-hours",
        "--report-only",
        "--stream-only",
    }
)
FOLDER: Final = Path("runs/warmup")
"""Folder for the files of a warm-up if the settings name none."""


def is_legacy_line(arguments: Sequence[str]) -> bool:
    """Returns whether a command line begins with a legacy flag instead of a command."""
    return bool(arguments) and arguments[0].partition("=")[0] in FLAGS


@dataclass(frozen=True, slots=True)
class LegacyLine:
    """A legacy command line, translated.

    Attributes:
        config: the settings file.
        commands: the commands to run, in order.
    """

    config: Path
    commands: tuple[tuple[str, ...], ...]


def parse(arguments: Sequence[str]) -> LegacyLine:
    """Parses the arguments. A wrong flag ends the process with a usage message."""
    parser = argparse.ArgumentParser(prog="python -m ol0", allow_abbrev=False)
    parser.add_argument("--config", required=True)
    parser.add_argument("--warmup-from")
    parser.add_argument("--calibration")
    parser.add_argument("--duration-hours", default="24")
    then = parser.add_mutually_exclusive_group()
    then.add_argument("--soak-test", action="store_true")
    then.add_argument("--report-only", action="store_true")
    then.add_argument("--stream-only", action="store_true")
    words = parser.parse_args(arguments)
    config = ("--config", words.config)
    todo: list[tuple[str, ...]] = []
    if words.warmup_from is not None:
        calibration = () if words.calibration is None else ("--calibration", words.calibration)
        todo += [("topics", "apply", *config), ("warmup", words.warmup_from, *calibration, *config)]
    if words.soak_test:
        todo += [("soak", "--duration-hours", words.duration_hours)]
    else:
        report = "report" if words.warmup_from is None else "status"
        todo += [(report if words.report_only else "run", *config)]
    return LegacyLine(Path(words.config), tuple(todo))


def name_places(settings: Settings) -> None:
    """Sets default paths for base and suite, which legacy settings cannot name, for this process and its children."""
    if settings.serving.base is None:
        os.environ["OL0_SERVING__BASE"] = str(FOLDER / "base.safetensors")
    if settings.safety.suite is None:
        os.environ["OL0_SAFETY__SUITE"] = str(FOLDER / "suite.safetensors")
