"""The zip file that ``torch.save`` writes: a pickle and, beside it, the plain bytes of every storage.

::

    NAME/data.pkl       what was saved; each storage is replaced by its number
    NAME/data/0 ...     the bytes of each storage, stored without compression
    NAME/byteorder      "little" or "big"; files of older versions have none and are little-endian
    NAME/version, NAME/.format_version, NAME/.storage_alignment, NAME/.data/serialization_id

Nothing is extracted: members are looked up by their exact names, and read after their sizes were checked.
torch can leave the checksums out; it then writes 0 for each, which means that there is none.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from ol0.errors import CheckpointError

MAX_MEMBERS: Final = 20_000  # a policy of 100 layers with its optimiser has 5,000
MAX_PICKLE_BYTES: Final = 64 << 20  # the default policy with its optimiser has 30 KB; training_results may be long
HEADER_BYTES: Final = 30  # of a member, before its name
_NAMES: Final = re.compile(
    r"data\.pkl|byteorder|version|\.format_version|\.storage_alignment|\.data/serialization_id|data/[0-9]{1,9}"
)


class Archive:
    """An open file of torch's zip format, its members checked. ``open_archive`` makes one."""

    def __init__(self, source: Path, opened: ZipFile, members: dict[str, ZipInfo]) -> None:
        self._source = source
        self._opened = opened
        self._members = members
        self._storages: dict[str, bytes] = {}
        self.byteorder = self._read_byteorder()

    def pickle(self) -> bytes:
        """The bytes of ``data.pkl``."""
        return self._read("data.pkl", MAX_PICKLE_BYTES)

    def storage_bytes(self, key: str) -> int | None:
        """Bytes of the storage of this number; None if it is missing."""
        member = self._members.get(f"data/{key}")
        return None if member is None else member.file_size

    def storage(self, key: str) -> bytes:
        """The bytes of the storage of this number, read once however many tensors are slices of it.

        Their checksum is verified where the file has one.

        Raises:
            CheckpointError: the storage is missing, or its bytes were changed.
        """
        if key not in self._storages:
            self._storages[key] = self._read(f"data/{key}", self.size)
        return self._storages[key]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._source.stat().st_size

    @property
    def checksums(self) -> bool:
        """Whether every member has a checksum, so that a changed byte is found."""
        return all(hasattr(member, "CRC") for member in self._members.values())

    def _read(self, name: str, limit: int) -> bytes:
        member = self._members.get(name)
        if member is None:
            raise CheckpointError(f"{self._source}: there is no {name} in it, so it is not a file of torch.save")
        if member.file_size > limit:
            raise CheckpointError(f"{self._source}: {name} has {member.file_size} bytes; at most {limit} are taken")
        try:
            return self._opened.read(member)
        except (BadZipFile, RuntimeError, OSError, EOFError, NotImplementedError) as error:
            raise CheckpointError(f"{self._source}: {name} cannot be read: {error}; the file is damaged") from None

    def _read_byteorder(self) -> Literal["<", ">"]:
        if "byteorder" not in self._members:
            return "<"
        match self._read("byteorder", 16):
            case b"little":
                return "<"
            case b"big":
                return ">"
            case other:
                raise CheckpointError(f"{self._source}: byteorder is {other!r}, neither little nor big")


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Opens a file of torch's zip format.

    Raises:
        CheckpointError: the file cannot be read or has another format, or a member is wrong.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != b"PK\x03\x04":
                raise CheckpointError(
                    f"{path} is no zip file: a checkpoint of torch before 1.6, or of another tool. Load it where you "
                    "trust it and save it again with torch >= 1.6"
                )
        with ZipFile(path) as opened:
            yield Archive(path, opened, _checked_members(path, opened.infolist()))
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}; name an AR1 checkpoint (.pt)") from None
    except (BadZipFile, ValueError, NotImplementedError) as error:
        raise CheckpointError(f"{path} is a damaged zip file: {error}") from None


def _checked_members(path: Path, members: list[ZipInfo]) -> dict[str, ZipInfo]:
    """The members by their names below the folder that contains all of them."""
    if len(members) > MAX_MEMBERS:
        raise CheckpointError(f"{path} has {len(members)} members; at most {MAX_MEMBERS} are taken")
    folder = members[0].filename.partition("/")[0] + "/" if members else "/"
    known: dict[str, ZipInfo] = {}
    for member in members:
        name = member.filename.removeprefix(folder)
        if name == member.filename or not _NAMES.fullmatch(name):
            raise CheckpointError(f"{path}: torch.save writes no member {member.filename!r}")
        if name in known:
            raise CheckpointError(f"{path}: the member {member.filename!r} is in it twice")
        if member.compress_type != ZIP_STORED or member.file_size != member.compress_size:
            raise CheckpointError(f"{path}: {member.filename!r} is compressed; torch.save compresses nothing")
        if not member.CRC and member.file_size:
            del member.CRC  # zipfile verifies what is there: without one, a member is read as it is
        known[name] = member
    _require_own_bytes(path, members)
    return known


def _require_own_bytes(path: Path, members: list[ZipInfo]) -> None:
    """Refuses members that overlap, so that together they are no larger than the file."""
    end, last = 0, ""
    for member in sorted(members, key=lambda one: one.header_offset):
        if member.header_offset < end:
            raise CheckpointError(
                f"{path}: {member.filename!r} lies over {last!r}; torch.save writes one after another"
            )
        end, last = member.header_offset + HEADER_BYTES + member.file_size, member.filename
    if end > path.stat().st_size:
        raise CheckpointError(f"{path}: {last!r} would end at byte {end}, the file has {path.stat().st_size}")
