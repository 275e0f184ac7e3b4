import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from ol0.errors import ConfigError
from ol0.operator.setup.labelled_file import Labelled, read_labelled

COUNT = 240
RNG = np.random.default_rng(0)
X = RNG.normal(size=(COUNT, 3)).astype(np.float32)
WORDS = np.array(["large", "code", "small"])[np.arange(COUNT) % 3]
P = RNG.random((COUNT, 3)).round(3)
KINDS = np.array(["new", "old"])[np.arange(COUNT) % 2]
ONE_HOT = np.eye(3, dtype=np.float32)[[["code", "large", "small"].index(word) for word in WORDS]]


def npz(path: Path) -> Path:
    np.savez(path.with_suffix(".npz"), X=X, y=WORDS, kind=KINDS)
    return path.with_suffix(".npz")


def csv_of_lists(path: Path) -> Path:
    with (found := path.with_suffix(".csv")).open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["embedding", "label", "kind", "comment"])
        rows.writerows(
            [json.dumps(x.tolist()), word, kind, "not used"] for x, word, kind in zip(X, WORDS, KINDS, strict=True)
        )
    return found


def csv_of_columns(path: Path) -> Path:
    with (found := path.with_suffix(".csv")).open("w", newline="", encoding="utf-8-sig") as file:
        rows = csv.writer(file)
        rows.writerow(["x0", "x1", "x2", "label", "kind"])
        rows.writerows([*x.tolist(), word, kind] for x, word, kind in zip(X, WORDS, KINDS, strict=True))
    return found


def a_parquet(path: Path) -> Path:
    table = pa.table({"embedding": list(X), "label": WORDS, "kind": KINDS})
    parquet.write_table(table, found := path.with_suffix(".parquet"))
    return found


@pytest.mark.parametrize("write", [npz, csv_of_lists, csv_of_columns, a_parquet])
def test_every_form_brings_the_same_prompts(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    found = read_labelled(write(tmp_path / "prompts"))
    np.testing.assert_allclose(found.prompts.features, X, rtol=1e-6)
    np.testing.assert_array_equal(found.prompts.success, ONE_HOT)
    assert found.names == ("code", "large", "small")
    assert found.prompts.groups.tolist() == KINDS.tolist()


def test_what_every_choice_is_worth_comes_in_columns_with_their_names(tmp_path: Path) -> None:
    columns = {f"x{number}": X[:, number] for number in range(3)}
    values = {f"p_{name}": P[:, number] for number, name in enumerate(["large", "code", "small"])}
    parquet.write_table(pa.table(columns | values), path := tmp_path / "prompts.parquet")
    found = read_labelled(path)
    np.testing.assert_allclose(found.prompts.success, P, rtol=1e-6)
    assert found.names == ("large", "code", "small")
    assert set(found.prompts.groups) == {""}


@pytest.mark.parametrize("labels", [np.arange(COUNT) % 3, (np.arange(COUNT) % 3).astype(float)])
def test_numbers_are_the_numbers_of_choices(labels: np.ndarray[tuple[int], np.dtype[np.generic]]) -> None:
    found = Labelled.of(X, labels)
    np.testing.assert_array_equal(found.prompts.success, np.eye(3)[np.arange(COUNT) % 3])
    assert found.names == ("0", "1", "2")


def test_a_choice_that_is_never_right_is_a_choice_all_the_same() -> None:
    assert Labelled.of(X, np.arange(COUNT) % 2 * 2).prompts.success.shape == (COUNT, 3)


@pytest.mark.parametrize(
    ("features", "labels", "kinds", "said"),
    [
        (X[0], WORDS, None, r"X has shape \(3,\); expected \(n, D\)"),
        (X, WORDS[:-1], None, r"labels have shape \(239,\); expected \(240,\) or \(240, K\)"),
        (X[:9], WORDS[:9], None, "9 rows; 200 are the fewest"),
        (X, WORDS, KINDS[:-1], r"kinds have shape \(239,\)"),
        (X, np.full(COUNT, "one"), None, "1 different labels; 2 to 1,000 choices are right"),
        (X, np.arange(COUNT) - 1, None, "a label is -1; expected the number of a choice, from 0"),
        (X, np.arange(COUNT) * 10, None, "a label is 2390; choices are numbered from 0, 1,000 at most"),
        (X, RNG.random(COUNT), None, "labels are fractions"),
        (X, np.array([None] * COUNT), None, r"labels are Python objects; save them as text: labels.astype\(str\)"),
        (X, P + 1, None, "P holds 1.* expected probabilities"),
        (np.where(X > 2, np.nan, X), WORDS, None, "X holds nan"),
    ],
)
def test_what_does_not_fit_is_named(features: object, labels: object, kinds: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Labelled.of(np.asarray(features), np.asarray(labels), None if kinds is None else np.asarray(kinds))


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("a.json", text("{}"), r"labelled prompts come as \.npz, \.csv or \.parquet"),
        ("a.csv", text(""), "empty; an .npz holds X"),
        ("a.csv", text("x0,label\n1"), "line 2 has 1 fields, the header 2"),
        ("a.csv", text("x0,x2,label\n1,1,a\n"), "the column x1 is missing among 2 columns of features"),
        ("a.csv", text("x0,label\none,a\n"), "column x0 holds what is no number"),
        ("a.csv", text("embedding,label\n[1,a\n"), "line 2 has 3 fields|embedding in row 0"),
        ("a.csv", text('embedding,label\n"[1, 2]",a\n"[1]",b\n'), r"embedding in row 1 has shape \(1,\)"),
        ("a.csv", text('embedding,label\n"[1, ""b""]",a\n'), "embedding in row 0 is no list of numbers"),
        ("a.csv", text("x0,right\n1,a\n"), "its columns are x0, right; an .npz holds"),
        ("a.csv", text("prompt,label\nhello,a\n"), "its columns are prompt, label; an .npz holds"),
        ("a.csv", text("x0,label,p_a\n1,a,1\n"), "its columns are x0, label, p_a"),
        ("a.csv", lambda path: path.write_bytes(b"x0,label\n1,\xff\n"), "cannot be read as CSV in UTF-8"),
        ("a.parquet", text("PAR1"), "no Parquet file"),
        ("a.npz", lambda path: np.savez(path, X=X), "it holds X; expected X and either y or P"),
        ("a.npz", lambda path: np.savez(path, X=X, y=WORDS, P=P), "it holds X, y, P; expected X and either y or P"),
        ("missing.csv", lambda _: None, "No such file"),
    ],
)
def test_a_file_that_is_none_of_ours_is_named_with_what_is_wanted(
    tmp_path: Path, name: str, write: Callable[[Path], object], said: str
) -> None:
    write(path := tmp_path / name)
    with pytest.raises(ConfigError, match=said) as caught:
        read_labelled(path)
    assert str(caught.value).startswith(str(path))
