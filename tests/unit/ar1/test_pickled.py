import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ol0.ar1.archive import open_archive
from ol0.ar1.checkpoint import read_ar1
from ol0.ar1.pickled import read_pickle
from ol0.ar1.tensors import PickledTensor, Value
from ol0.errors import CheckpointError
from unit.ar1.torch_files import DATA, Raw, View, Writer, policy_tensors, save, save_members


def read(path: Path) -> Value:
    with open_archive(path) as archive:
        return read_pickle(archive, path)


def read_array(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    with open_archive(path) as archive:
        tensor = read_pickle(archive, path)
        assert isinstance(tensor, PickledTensor)
        return tensor.read(archive)


def refused(path: Path, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        read(path)


class Hostile:
    """Pickled, it is a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self._call


# -- what torch.save writes ---------------------------------------------------------------------------------------


def test_plain_values_come_back_as_they_were(tmp_path: Path) -> None:
    content = {"step": 3, "loss": float("inf"), "name": "pg", "heads": ["a", ("b", None)], 7: True, "big": -(2**40)}
    assert read(save(tmp_path / "a.pt", content)) == content


@pytest.mark.parametrize("byteorder", ["little", "big"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "int64"])
def test_numbers_come_back_in_the_machines_order_whatever_the_files_is(
    tmp_path: Path, dtype: str, byteorder: str
) -> None:
    array = np.arange(-3, 9).reshape(3, 4).astype(dtype)
    found = read_array(save(tmp_path / "a.pt", array, byteorder))
    assert found.dtype == np.dtype(dtype)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, array)


def tensor_with(metadata: object, kind: bytes = b"FloatStorage", hooks: object = None) -> Raw:
    """The numbers 0 to 3, with a seventh argument."""
    place = Raw(Writer().write(("storage", Raw(b"ctorch\n" + kind + b"\n"), "0", "cpu", 4)) + b"Q")
    arguments = Writer().write((place, 0, (4,), (1,), hooks is not None, hooks, metadata))
    return Raw(b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R")


def save_tensor(path: Path, tensor: Raw, dtype: str = "<f4") -> Path:
    return save_members(path, {"data.pkl": Writer().pickle(tensor), "data/0": np.arange(4, dtype=dtype).tobytes()})


@pytest.mark.parametrize(
    ("metadata", "sign"),
    [(None, 1), ({}, 1), ({"neg": False}, 1), ({"neg": True}, -1), ({"neg": True, "conj": False}, -1)],
)
def test_the_negative_bit_of_a_tensor_is_honoured(tmp_path: Path, metadata: object, sign: int) -> None:
    for kind, dtype in ((b"FloatStorage", "<f4"), (b"LongStorage", "<i8")):
        found = read_array(save_tensor(tmp_path / "a.pt", tensor_with(metadata, kind), dtype))
        assert found.tolist() == [0, sign, 2 * sign, 3 * sign]


def test_the_negative_bit_of_halves_is_honoured(tmp_path: Path) -> None:
    path = save_members(
        tmp_path / "a.pt",
        {
            "data.pkl": Writer().pickle(tensor_with({"neg": True}, b"BFloat16Storage")),
            "data/0": np.array([0x3F80, 0xC049, 0x0000, 0x3F80], "<u2").tobytes(),
        },
    )
    assert read_array(path).tolist() == [-1.0, 3.140625, 0.0, -1.0]


@pytest.mark.parametrize("metadata", [{"conj": True}, {"neg": 1}, {"neg": True, "zero": True}, {3: 4}, "neg", [1]])
def test_any_other_bit_of_a_tensor_is_refused(tmp_path: Path, metadata: object) -> None:
    refused(save_tensor(tmp_path / "a.pt", tensor_with(metadata)), "metadata|makes a tensor with")
    refused(
        save_tensor(tmp_path / "a.pt", tensor_with({"neg": True}, b"BoolStorage"), "<u1"), "bool tensor has the meta"
    )


def test_whether_a_tensor_wants_gradients_changes_no_number(tmp_path: Path) -> None:
    hooks = Raw(b"ccollections\nOrderedDict\n)R")
    plain = tensor_with(None, hooks=hooks)
    parameter = Raw(b"ctorch._utils\n_rebuild_parameter\n" + Writer().write((plain, True, hooks)) + b"R")
    for tensor in (plain, parameter):
        assert read_array(save_tensor(tmp_path / "a.pt", tensor)).tolist() == [0, 1, 2, 3]


def test_a_parameter_with_attributes_of_its_own_is_refused(tmp_path: Path) -> None:
    wrapped = Raw(b"ctorch._utils\n_rebuild_parameter_with_state\n" + Writer().write((1,)) + b"R")
    refused(save_tensor(tmp_path / "a.pt", wrapped), r"wants torch\._utils\._rebuild_parameter_with_state")


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_bfloat16_is_widened_without_loss(tmp_path: Path, byteorder: str) -> None:
    halves = np.array([0x3F80, 0xC049, 0x0000, 0x7F80], np.uint16)
    found = read_array(save(tmp_path / "a.pt", halves, byteorder))
    np.testing.assert_array_equal(found, np.array([1.0, -3.140625, 0.0, np.inf], np.float32))


def test_a_transposed_view_into_a_larger_storage_is_read_as_it_looks(tmp_path: Path) -> None:
    storage = np.arange(20, dtype=np.float32)
    found = read_array(save(tmp_path / "a.pt", View(storage, 2, (3, 4), (1, 3))))
    np.testing.assert_array_equal(found, storage[2:14].reshape(4, 3).T)


def test_an_axis_of_one_number_may_claim_any_stride(tmp_path: Path) -> None:
    storage = np.arange(4, dtype=np.float32)
    np.testing.assert_array_equal(read_array(save(tmp_path / "a.pt", View(storage, 0, (1, 4), (2**62, 1)))), [storage])


# -- what wants more than tensors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_would_create_a_file_is_refused_by_name_and_creates_none(tmp_path: Path, protocol: int) -> None:
    victim = tmp_path / "victim"
    data = pickle.dumps({"model": Hostile(os.open, str(victim), os.O_CREAT)}, protocol)
    refused(save_members(tmp_path / "a.pt", {"data.pkl": data}), r"instruction|posix\.open")
    assert not victim.exists()
    # The same bytes do what they say where nobody looks: this test can fail.
    os.close(int(pickle.loads(data)["model"]))  # noqa: S301 - made above
    assert victim.exists()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (b"cos\nsystem\n(X\x02\x00\x00\x00lstR", r"wants os\.system"),
        (b"cbuiltins\neval\n(X\x03\x00\x00\x001+1tR", r"wants builtins\.eval"),
        (b"X\x05\x00\x00\x00posixX\x06\x00\x00\x00system\x93", r"wants posix\.system"),
        (b"ctorch\nload\n", r"wants torch\.load"),
        (b"ctorch.storage\n_load_from_bytes\n", r"wants torch\.storage\._load_from_bytes"),
        (b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n", r"wants torch\._utils\._rebuild_tensor_v2\.__globals__"),
        (b"ccollections\nOrderedDict.__init__.__globals__\n", r"wants collections\.OrderedDict\.__init__"),
        (b"cbem2.online\nFisherMatrix\n", r"wants bem2\.online\.FisherMatrix"),
        (b"(ios\nsystem\n", "instruction INST"),
        (b"ccollections\nOrderedDict\n)\x81", "instruction NEWOBJ"),
        (b"\x82\x01", "instruction EXT1"),
        (b"X\x01\x00\x00\x00a)R", "calls 'a', which is nothing to call"),
        (b"ctorch\nfloat32\n)R", r"calls torch\.float32, which is nothing to call"),
        (b"ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsNsb", "sets attributes"),
        (b"N}b", "sets attributes of None"),
        (b"ccollections\nOrderedDict\n(X\x01\x00\x00\x00atR", "makes an OrderedDict of"),
        (b"ctorch\nSize\n(K\x01K\x02tR", "makes a Size of"),
        (b"ctorch._utils\n_rebuild_parameter\n(N\x88NtR", "makes a parameter of"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(NK\x00))\x89NtR", "makes a tensor of"),
        (b"X\x01\x00\x00\x000Q", "persistent id that is no storage: '0'"),
        (b"(X\x06\x00\x00\x00modulectorch\nFloatStorage\ntQ", "persistent id that is no storage"),
        (b"}(]K\x01u", "a key that is no word"),
        (b"}(K\x01NK\x01Nu", "the key 1 twice"),
    ],
)
def test_every_other_wish_is_refused_by_name(tmp_path: Path, code: bytes, words: str) -> None:
    refused(save(tmp_path / "a.pt", {"model": Raw(code)}), rf"{words}.*nothing of it was run")


def test_a_persistent_id_within_a_persistent_id_is_refused(tmp_path: Path) -> None:
    inner = Raw(Writer().write(("storage", Raw(b"ctorch\nFloatStorage\n"), "0", "cpu", 1)) + b"Q")
    outer = Raw(Writer().write(("storage", Raw(b"ctorch\nFloatStorage\n"), inner, "cpu", 1)) + b"Q")
    members = {"data.pkl": Writer().pickle(outer), "data/0": bytes(4)}
    refused(save_members(tmp_path / "a.pt", members), "persistent id that is no storage")


# -- what would cost memory or time -------------------------------------------------------------------------------


def one_storage(tmp_path: Path, key: str, numel: int) -> Path:
    place = ("storage", Raw(b"ctorch\nFloatStorage\n"), key, "cpu", numel)
    return save_members(
        tmp_path / "a.pt", {"data.pkl": Writer().pickle(Raw(Writer().write(place) + b"Q")), "data/0": bytes(8)}
    )


@pytest.mark.parametrize(("key", "numel"), [("0", 2**62), ("0", 1), ("1", 2), ("../0", 2), ("/etc/passwd", 2)])
def test_a_storage_that_is_not_there_or_of_another_size_is_refused(tmp_path: Path, key: str, numel: int) -> None:
    refused(one_storage(tmp_path, key, numel), "needs [0-9]+ bytes, the file has")


@pytest.mark.parametrize(
    "view",
    [
        View(np.zeros(4, np.float32), 0, (2**40,), (1,)),
        View(np.zeros(4, np.float32), 0, (5,), (1,)),
        View(np.zeros(4, np.float32), 1, (4,), (1,)),
        View(np.zeros(4, np.float32), 0, (2, 2), (3, 1)),
        View(np.zeros(4, np.float32), -1, (2,), (1,)),
        View(np.zeros(4, np.float32), 3, (2,), (-1,)),
        View(np.zeros(4, np.float32), 0, (-2, -2), (1, 1)),
        View(np.zeros(4, np.float32), 0, (2, 2), (1,)),
        View(np.zeros(0, np.float32), 0, (), ()),
        View(np.zeros(1, np.float32), 0, (1,) * 9, (1,) * 9),
    ],
)
def test_a_tensor_that_does_not_lie_within_its_storage_is_refused(tmp_path: Path, view: View) -> None:
    refused(save(tmp_path / "a.pt", view), "does not lie within its storage")


def test_a_tensor_that_repeats_its_numbers_is_refused_with_what_helps(tmp_path: Path) -> None:
    for number, view in enumerate(
        (View(np.zeros(4, np.float32), 0, (2**40,), (0,)), View(np.ones(3, np.float32), 0, (2, 2), (1, 1)))
    ):
        refused(save(tmp_path / f"{number}.pt", view), r"more numbers than its storage.*contiguous\(\)")


def test_a_place_in_the_memo_costs_nothing_however_high_its_number(tmp_path: Path) -> None:
    # Python's own machine would reserve and fill 64 GiB here.
    code = b"]r" + struct.pack("<I", 2**32 - 1) + b"0"
    refused(save(tmp_path / "a.pt", Raw(code)), "instruction POP")


def test_a_pickle_of_millions_of_instructions_is_refused_before_they_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ol0.ar1.pickled.MAX_INSTRUCTIONS", 1_000)
    refused(save(tmp_path / "a.pt", [{} for _ in range(1_000)]), "more than 1,000 instructions")


def test_a_key_that_holds_itself_forty_times_over_is_not_hashed(tmp_path: Path) -> None:
    doubled = b")" + b"q\x00h\x00\x86" * 40
    refused(save(tmp_path / "a.pt", Raw(b"}" + doubled + b"Ns")), "a key that is no word and no whole number: a tuple")


def test_a_value_that_holds_itself_forty_times_over_is_walked_once(tmp_path: Path) -> None:
    doubled = Raw(b")" + b"q\x00h\x00\x86" * 40)
    path = save(tmp_path / "a.pt", {"router_state_dict": policy_tensors("bare_router"), "config": doubled})
    assert read_ar1(path).layout.unused == {"config": 0}


# -- what is damaged ----------------------------------------------------------------------------------------------


def test_a_pickle_that_ends_early_or_makes_no_sense_is_damaged(tmp_path: Path) -> None:
    for number, data in enumerate(
        (b"", b"\x80\x02", b"\x80\x02}", b"\x80\x02t.", b"\x80\x02NN.", b"\x80\x02h\x07.", b"\x80\x02\xff.")
    ):
        refused(save_members(tmp_path / f"{number}.pt", {"data.pkl": data}), "its pickle is damaged")


def test_no_change_of_a_few_bytes_does_anything_but_change_values_or_be_refused(tmp_path: Path) -> None:
    path = DATA / "pg_final_policy.pt"
    with zipfile.ZipFile(path) as archive:
        members = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    pickled, rng = members["data.pkl"], np.random.default_rng(0)
    outcomes = set()
    for number in range(150):
        data = bytearray(pickled)
        for place in rng.integers(0, len(data), 1 + number % 3):
            data[place] = rng.integers(0, 256)
        changed = save_members(tmp_path / "a.pt", {**members, "data.pkl": bytes(data)})
        try:
            read_ar1(changed)
            outcomes.add("read")
        except CheckpointError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}
