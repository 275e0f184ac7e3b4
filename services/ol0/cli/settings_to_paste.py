"""What a warm-up made necessary in the settings, ready to paste."""

import json
from collections.abc import Iterator
from pathlib import Path

from ol0.config import Settings
from ol0.operator.setup.lineage import BASE, SUITE


def settings_to_paste(settings: Settings, out: Path) -> Iterator[str]:
    """TOML that names the files in ``out``, as far as the settings do not name them already.

    A suite is named only where the warm-up wrote one: an AR1 checkpoint without a calibration file brings none.
    """
    written = {("serving", "base"): out / BASE, ("safety", "suite"): out / SUITE}
    named = {("serving", "base"): settings.serving.base, ("safety", "suite"): settings.safety.suite}
    missing = {key: path for key, path in written.items() if path.exists() and not _same(named[key], path)}
    if not missing:
        yield "the settings name its files already: `ol0 run` is next"
        return
    yield "these settings are necessary now, for every service and every host; then `ol0 run`:"
    for (section, key), path in missing.items():
        yield f"\n[{section}]\n{key} = {json.dumps(str(path.resolve()))}"  # a JSON string is one of TOML


def _same(named: Path | None, written: Path) -> bool:
    return named is not None and named.resolve() == written.resolve()
