import zipfile
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from ol0.ar1.archive import open_archive
from ol0.ar1.checkpoint import read_ar1
from ol0.errors import CheckpointError
from unit.ar1.torch_files import DATA, Writer, save, save_members

PICKLE = Writer().pickle({})


def refused(path: Path, words: str) -> None:
    with pytest.raises(CheckpointError, match=words), open_archive(path) as archive:
        archive.pickle()


def test_a_file_of_torch_before_1_6_is_to_be_saved_again(tmp_path: Path) -> None:
    # Its first bytes: protocol 2 and a magic number.
    path = tmp_path / "old.pt"
    path.write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.")
    refused(path, r"no zip file.*save it again with torch >= 1\.6")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "missing.pt", r"missing\.pt: No such file or directory; name an AR1 checkpoint")


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "data/../data/0", "/data/0", "data\\0", "code/__torch__.py", "data/0/1", "data/zero"]
)
def test_a_member_that_torch_never_writes_is_refused(tmp_path: Path, name: str) -> None:
    path = save_members(tmp_path / "a.pt", {"data.pkl": PICKLE})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"archive/{name}", b"x")
    refused(path, "torch.save writes no member")
    assert [one.name for one in tmp_path.iterdir()] == ["a.pt"]


def test_a_member_outside_the_one_folder_is_refused(tmp_path: Path) -> None:
    path = save_members(tmp_path / "a.pt", {"data.pkl": PICKLE})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("data/0", b"x")
    refused(path, "torch.save writes no member 'data/0'")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = save_members(tmp_path / "a.pt", {"data.pkl": PICKLE})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data.pkl", Writer().pickle({"another": 1}))
    refused(path, "is in it twice")


def test_a_bomb_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    members = {"data.pkl": PICKLE, "data/0": bytes(50 << 20)}
    path = save_members(tmp_path / "a.pt", members, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    refused(path, "is compressed")


def test_members_that_share_their_bytes_to_look_larger_than_the_file_are_refused(tmp_path: Path) -> None:
    path = save_members(tmp_path / "a.pt", {"data.pkl": PICKLE, **{f"data/{n}": bytes(1000) for n in range(9)}})
    data = path.read_bytes()
    # Every entry of the directory at the end says that its member is as large as the file.
    entries, pieces = data.split(b"PK\x01\x02", 1)[0], data.split(b"PK\x01\x02")[1:]
    size = len(data).to_bytes(4, "little")
    path.write_bytes(entries + b"".join(b"PK\x01\x02" + one[:16] + size + size + one[24:] for one in pieces))
    refused(path, "lies over|would end at byte")


def test_members_that_lie_over_each_other_are_refused(tmp_path: Path) -> None:
    path = save_members(tmp_path / "a.pt", {"data.pkl": PICKLE, "data/0": bytes(1000), "data/1": bytes(1000)})
    data = path.read_bytes()
    # The directory says that both storages begin where the first one does.
    first, second = data.index(b"PK\x03\x04", 4), data.rindex(b"PK\x03\x04")
    path.write_bytes(
        data.replace(second.to_bytes(4, "little") + b"archive/data/1", first.to_bytes(4, "little") + b"archive/data/1")
    )
    refused(path, "'archive/data/1' lies over 'archive/data/0'")


def test_a_pickle_of_many_megabytes_is_refused(tmp_path: Path) -> None:
    refused(save_members(tmp_path / "a.pt", {"data.pkl": bytes((64 << 20) + 1)}), "at most 67108864 are taken")


def test_without_checksums_a_file_is_read_and_says_so(tmp_path: Path) -> None:
    path = save_members(tmp_path / "a.pt", {"data.pkl": PICKLE, "data/0": b"abcd"})
    data = path.read_bytes()
    for content in (PICKLE, b"abcd"):
        data = data.replace(crc32(content).to_bytes(4, "little"), bytes(4))
    for some, checksums in ((data, False), (path.read_bytes(), True)):
        path.write_bytes(some)
        with open_archive(path) as archive:
            assert (archive.pickle(), archive.storage("0"), archive.checksums) == (PICKLE, b"abcd", checksums)


def test_a_storage_is_read_once_however_many_tensors_are_in_it(tmp_path: Path) -> None:
    path = save_members(tmp_path / "a.pt", {"data.pkl": PICKLE, "data/0": bytes(1000)})
    with open_archive(path) as archive:
        assert archive.storage("0") is archive.storage("0")


def test_a_file_without_a_pickle_is_no_file_of_torch_save(tmp_path: Path) -> None:
    refused(save_members(tmp_path / "a.pt", {"version": b"3\n"}), r"there is no data\.pkl in it")


def test_an_unknown_byte_order_is_refused(tmp_path: Path) -> None:
    refused(save_members(tmp_path / "a.pt", {"data.pkl": PICKLE, "byteorder": b"middle"}), "byteorder is b'middle'")


def test_a_changed_byte_among_the_numbers_is_found(tmp_path: Path) -> None:
    tensors = {"chunk_proj.weight": np.full((4, 4), 1.5, np.float32)}
    path = save(tmp_path / "a.pt", tensors)
    path.write_bytes(path.read_bytes().replace(np.float32(1.5).tobytes(), np.float32(1.25).tobytes(), 1))
    with open_archive(path) as archive, pytest.raises(CheckpointError, match="the file is damaged"):
        archive.storage("0")


def test_a_file_that_was_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    whole = (DATA / "half.pt").read_bytes()
    path = tmp_path / "a.pt"
    for length in (0, 3, 4, 1000, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            read_ar1(path)
