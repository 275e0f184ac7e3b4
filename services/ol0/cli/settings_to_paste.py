"""Settings that a warm-up makes necessary, ready to paste."""

import json
from collections.abc import Iterator
from pathlib import Path

from ol0.config import Settings
from ol0.operator.setup.lineage import BASE, SUITE


def settings_to_paste(settings: Settings, out: Path) -> Iterator[str]:
    """Yields TOML that names the files in ``out``, except those that the settings already name.

    Names a suite only if the warm-up wrote one: an AR1 checkpoint without a calibration file has none.
    """
    written = {("serving", "base"): out / BASE, ("safety", "suite"): out / SUITE}
    named = {("serving", "base"): settings.serving.base, ("safety", "suite"): settings.safety.suite}
    missing = {key: path for key, path in written.items() if path.exists() and not _same(named[key], path)}
    if not missing:
        yield "the settings already name these files: run `ol0 run` next"
        return
    yield "add these settings for every service and every host, then run `ol0 run`:"
    for (section, key), path in missing.items():
        yield f"\n[{section}]\n{key} = {json.dumps(str(path.resolve()))}"  # a JSON string is one of TOML


def _same(named: Path | None, written: Path) -> bool:
    return named is not None and named.resolve() == written.resolve()
