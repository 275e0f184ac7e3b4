"""Files that people have: each is taken as it is, or refused with its file, array, what was found and what is right."""

import re
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from ol0.errors import ConfigError
from ol0.operator.setup.prompt_file import read_prompt_file
from ol0.operator.setup.prompts import kinds_of

Arrays = dict[str, object]
COUNT = 500
HUGE = b"{'descr': '<f8', 'fortran_order': False, 'shape': (900000000, 4096), }"


def right() -> Arrays:
    rng = np.random.default_rng(0)
    kinds = np.arange(COUNT) % 4
    success = np.full((COUNT, 3), 0.2)
    success[np.arange(COUNT), kinds % 3] = 0.9
    return {
        "X": rng.normal(size=(COUNT, 5)),
        "P": success,
        "old": kinds < 2,
        "group": np.array([f"kind {kind}" for kind in kinds]),
    }


def saved(folder: Path, **changed: object) -> Path:
    path = folder / "prompts.npz"
    np.savez(path, **{name: value for name, value in {**right(), **changed}.items() if value is not None})  # type: ignore[arg-type]
    return path


def with_value(name: str, place: tuple[int, int], value: float) -> Arrays:
    array = np.array(right()[name])
    array[place] = value
    return {name: array}


def refusal(path: Path) -> str:
    """What is said of the file, after its name."""
    with pytest.raises(ConfigError) as caught:
        read_prompt_file(path)
    name, _, said = str(caught.value).partition(": ")
    assert name == str(path)
    return said


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"X": np.array(right()["X"]).astype(np.float16)},
        {"X": (10 * np.array(right()["X"])).astype(np.int64)},
        {"P": np.array(right()["P"]) > 0.5},
        {"old": np.array(right()["old"]).astype(int)},
        {"old": np.array(right()["old"]).astype(float)},
        {"group": np.arange(COUNT)},
        {"group": np.array(right()["group"]).astype("S")},
        {"more": np.zeros(3)},
        {"X": np.array(right()["X"]).astype(">f4")},
        {"P": np.array(right()["P"]).astype("f4") * np.float32(1 / 0.9 + 1e-6)},  # a softmax may miss 1 by so much
    ],
)
def test_what_means_the_same_is_taken(tmp_path: Path, changed: Arrays) -> None:
    found = read_prompt_file(saved(tmp_path, **changed))
    assert [found.features.shape, found.success.shape] == [(COUNT, 5), (COUNT, 3)]
    assert [one.dtype.kind for one in (found.features, found.success, found.old, found.groups)] == list("ffbU")
    assert found.old.sum() == COUNT // 2


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"P": None}, "P missing; it holds X, old, group; numpy.savez(FILE, X=..., P=..., old=..., group=...)"),
        ({"old": None, "Old": np.ones(COUNT)}, "old missing; it holds X, P, group, Old; numpy.savez(FILE"),
        ({"X": np.zeros(COUNT)}, "X has shape (500,); expected (n, D)"),
        ({"X": np.zeros((COUNT, 0))}, "X has shape (500, 0); expected (n, D)"),
        ({"X": np.zeros((0, 5))}, "X has shape (0, 5); expected (n, D)"),
        ({"X": np.zeros((COUNT, 5), complex)}, "X holds complex128; real numbers are right"),
        ({"X": np.zeros((COUNT, 5)).astype(str)}, "X holds text (<U32); real numbers are right"),
        ({"X": np.zeros((COUNT, 5), object)}, "X holds Python objects, which are never loaded; save it as numbers"),
        (with_value("X", (3, 2), np.nan), "X holds nan in row 3, column 2; expected finite numbers"),
        (with_value("X", (3, 2), 1e39), "X holds 1e+39 in row 3, column 2; scale the features to at most 1,000,000"),
        ({"P": np.zeros((COUNT - 1, 3))}, "P has shape (499, 3); (500, K) is right, a row for each row of X"),
        ({"P": np.zeros(COUNT, int)}, "the probability of each expert, not the number of one. Of labels, numpy.eye(K)"),
        ({"P": np.ones((COUNT, 1))}, "P has 1 column; with fewer than two experts there is nothing to choose"),
        ({"P": np.ones((COUNT, 3))}, "P holds the same for all experts in every row: there is nothing to choose"),
        (with_value("P", (7, 1), 1.5), "P holds 1.5 in row 7, column 1; expected probabilities within 0..1"),
        (with_value("P", (7, 1), np.nan), "P holds nan in row 7, column 1; expected probabilities within 0..1"),
        ({"old": np.ones((COUNT, 1), bool)}, "old has shape (500, 1); (500,) is right, a row for each row of X"),
        ({"old": np.full(COUNT, "True")}, "old holds text (<U4); expected true and false, or 1 and 0"),
        ({"old": np.full(COUNT, -1)}, "old holds -1 in row 0; expected true and false, or 1 and 0"),
        ({"old": np.ones(COUNT, bool)}, "500 old and 0 new prompts; 200 of each are the fewest"),
        ({"group": np.full(COUNT, np.nan)}, "group holds float64; expected text or whole numbers"),
        ({"group": np.full(COUNT, "é".encode("latin-1"))}, "group holds bytes that are not ASCII; expected text (str)"),
        ({"group": np.full(COUNT, "é" * 129)}, "group, row 0, is 258 bytes long; 256 are the most"),
        (
            {"group": np.full(COUNT, "\ud800")},
            "group, row 0, holds half a surrogate; expected text that UTF-8",
        ),
        ({"P": np.zeros((COUNT, 0))}, "P has 0 columns; with fewer than two experts"),
        (
            {"X": np.ones((COUNT, 4_096), "f2"), "P": np.eye(COUNT, 2_000)},
            "D = 4,096 features and K = 2,000 choices",
        ),
    ],
)
def test_an_array_that_is_none_of_ours_is_named_with_what_is_right(tmp_path: Path, changed: Arrays, said: str) -> None:
    assert said in refusal(saved(tmp_path, **changed))


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: path.write_text("text,expert\nhello,1\n"), "not an .npz file: it begins with 'text,expert'"),
        (lambda path: path.write_text('{"X": [[1, 2]]}'), "not an .npz file: it begins with '{\"X\": [[1, 2]]}'"),
        (lambda path: path.write_bytes(b""), "empty; numpy.savez(FILE, X=..., P=..., old=..., group=...) writes"),
        (lambda path: path.mkdir(), "Is a directory; numpy.savez"),
        (
            lambda path: path.write_bytes(path.with_name("prompts.npz").read_bytes()[:2_000]),
            "truncated: it begins like",
        ),
        (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr'"), "a single array (.npy); numpy.savez"),
        (lambda _: None, "No such file or directory; numpy.savez"),
    ],
)
def test_another_kind_of_file_is_called_what_it_is(tmp_path: Path, write: Callable[[Path], object], said: str) -> None:
    saved(tmp_path)
    write(tmp_path / "data")
    assert refusal(tmp_path / "data").startswith(said)


def test_a_damaged_array_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(b"X.npy") + 300] ^= 0xFF
    path.write_bytes(data)
    assert re.match(r"X is damaged \(Bad CRC-32 .*\); save it again", refusal(path))


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (b"1,2", "X is not an array; save it with numpy.savez"),
        (b"\x93NUMPY\x01\x00v\x00" + b"{" * 118, "X cannot be read"),  # what numpy raises here is no ValueError
        (b"\x93NUMPY\x01\x00v\x00" + HUGE.ljust(117) + b"\n", "X cannot be read (Unable to allocate"),
    ],
)
def test_a_member_that_is_no_array_is_named(tmp_path: Path, member: bytes, said: str) -> None:
    path = saved(tmp_path, X=None)
    with ZipFile(path, "a") as archive:
        archive.writestr("X.npy", member)
    assert refusal(path).startswith(said)


def test_nobody_is_ever_told_to_load_a_file_unsafely(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("text,expert\n")
    said = refusal(tmp_path / "data") + refusal(saved(tmp_path, group=np.array(right()["group"], object)))
    assert "pickle" not in said
    assert "unsafe" not in said


def test_a_label_of_old_and_new_prompts_is_of_neither_kind() -> None:
    groups, old = np.array(["web", "games", "both", "both"]), np.array([True, False, True, False])
    assert kinds_of(groups, old) == {"web": "old", "games": "new"}
