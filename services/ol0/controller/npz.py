"""Opening the .npz files that people bring. Whatever is wrong is told with the file, the array and the remedy."""

import zlib
from pathlib import Path
from typing import Final
from zipfile import BadZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray

from ol0.errors import ConfigError

ZIP: Final = b"PK"
NPY: Final = b"\x93NUMPY"
SHOWN: Final = 40
"""Bytes of a file of another kind that are told, so that people see which one they named."""

Arrays = dict[str, NDArray[np.generic]]


def read_npz(path: Path, required: tuple[str, ...]) -> Arrays:
    """All arrays of a file, among them the required ones. Nothing in it is unpickled.

    Raises:
        ConfigError: there is no such file, it is no .npz or is damaged, or an array is missing or holds objects.
    """
    try:
        begin = _begin(path)
        if not is_zipfile(path):
            raise ConfigError(f"{path}: {_what_it_is(begin)}; {_remedy(required)}")
        with np.load(path, allow_pickle=False) as archive:
            if missing := [name for name in required if name not in archive.files]:
                held = ", ".join(archive.files) or "nothing"
                raise ConfigError(f"{path}: {', '.join(missing)} missing; it holds {held}; {_remedy(required)}")
            return {name: _array(path, archive, name) for name in archive.files}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}; {_remedy(required)}") from None
    except (BadZipFile, EOFError) as error:
        raise ConfigError(f"{path}: damaged ({error}); {_remedy(required)}") from None


def _begin(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(SHOWN)


def _array(path: Path, archive: np.lib.npyio.NpzFile, name: str) -> NDArray[np.generic]:
    try:
        found = archive[name]
    except (BadZipFile, EOFError, zlib.error) as error:
        raise ConfigError(f"{path}: {name} is damaged ({error}); save it again") from None
    except Exception as error:  # noqa: BLE001 - what zipfile, tokenize and numpy raise at bytes of others is a long list
        if "Object arrays" in str(error):
            raise ConfigError(
                f"{path}: {name} holds Python objects, which are never loaded; save it as numbers or text: "
                f"{name}.astype(float) or {name}.astype(str)"
            ) from None
        raise ConfigError(f"{path}: {name} cannot be read ({error}); save it again") from None
    if isinstance(found, bytes):
        raise ConfigError(f"{path}: {name} is not an array; save it with numpy.savez")
    return np.asarray(found)


def _what_it_is(begin: bytes) -> str:
    if not begin:
        return "empty"
    if begin.startswith(ZIP):
        return "truncated: it begins like an .npz file but has no end"
    if begin.startswith(NPY):
        return "a single array (.npy)"
    first_line, *_ = begin.splitlines()
    return f"not an .npz file: it begins with {first_line.decode(errors='replace')!r}"


def _remedy(required: tuple[str, ...]) -> str:
    named = ", ".join(f"{name}=..." for name in required)
    return f"numpy.savez(FILE, {named}) writes what is wanted"
