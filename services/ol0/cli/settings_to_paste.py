"""Settings that a warm-up makes necessary: ready to paste, or written into the settings file."""

from collections.abc import Iterator, Mapping
from math import floor
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError

from ol0.config import Settings
from ol0.errors import ConfigError
from ol0.operator.setup.base_folder import BASE, SUITE

Missing = Mapping[tuple[str, str], str | float]
"""Section and key with the value that they have to have."""


def settings_that_miss(settings: Settings, folder: Path, share: float | None = None) -> Missing:
    """What the settings do not say yet.

    Names a suite only if the folder has one: an AR1 checkpoint without a calibration file has none.

    Args:
        settings: as they are.
        folder: of the base.
        share: what the base is worth on its suite; None where that was checked already.
    """
    missing: dict[tuple[str, str], str | float] = {}
    if share is not None and share < settings.warmup.canary_threshold:
        missing["warmup", "canary_threshold"] = floor(100 * share) / 100
    for section, key, named, written in (
        ("serving", "base", settings.serving.base, folder / BASE),
        ("safety", "suite", settings.safety.suite, folder / SUITE),
    ):
        if written.exists() and not _same(named, written):
            missing[section, key] = str(written.resolve())
    return missing


def settings_to_paste(missing: Missing) -> Iterator[str]:
    """Yields TOML, with a line before it that says what to do."""
    if not missing:
        yield "the settings already name these files: run `ol0 run` next"
        return
    yield "add these settings for every service and every host, then run `ol0 run`:"
    document = tomlkit.document()
    _set(document, missing)
    yield "\n" + tomlkit.dumps(document).rstrip()


def write_settings(path: Path | None, missing: Missing) -> str:
    """Writes them into a TOML file, whose comments and order stay, and returns what to say.

    Raises:
        ConfigError: there is no such file, or it is no TOML.
    """
    path = write_into(path, missing)
    told = ", ".join(f"{section}.{key} = {value}" for (section, key), value in missing.items())
    return f"{f'wrote {told} into {path}' if missing else f'{path} names these files'}: run `ol0 run` next"


def write_into(path: Path | None, missing: Missing) -> Path:
    """Writes settings into a TOML file and returns its path. Raises as ``write_settings``."""
    if path is None or path.suffix != ".toml":
        raise ConfigError("--write needs a settings file that is TOML: name it with --config")
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8"))
    except (OSError, TOMLKitError) as error:
        raise ConfigError(f"{path}: {error}") from None
    _set(document, missing)
    path.write_text(tomlkit.dumps(document), encoding="utf-8")
    return path


def _set(document: tomlkit.TOMLDocument, missing: Missing) -> None:
    for (section, key), value in missing.items():
        if section not in document:
            document.add(section, tomlkit.table())
        document[section][key] = value


def _same(named: Path | None, written: Path) -> bool:
    return named is not None and named.resolve() == written.resolve()
