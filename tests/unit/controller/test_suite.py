from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from ol0.controller.suite import known_good, read_suite, write_suite
from ol0.errors import ConfigError

FEATURES = np.eye(4, dtype=np.float32)
EXPERTS = np.array([[0.9, 0.0, 0.9], [0.2, 0.4, 0.0], [1, 1, 1], [0, 0, 0]], np.float32)
RANKS = np.array([[1, 0], [1, 0.5], [1, 1], [0, 1]], np.float32)
VALUES = (EXPERTS, RANKS)
KINDS = np.zeros(4, np.uint8)


def test_a_suite_is_read_back_with_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "suite.safetensors"
    write_suite(path, FEATURES, VALUES, KINDS)
    suite = read_suite(path)
    assert (len(suite), suite.choices, len(suite.digest)) == (4, (3, 2), 64)
    for read, written in zip(suite.values, VALUES, strict=True):
        np.testing.assert_array_equal(read, written)


def test_an_action_is_worth_the_product_of_its_parts(tmp_path: Path) -> None:
    path = tmp_path / "suite"
    write_suite(path, FEATURES, VALUES, KINDS)
    suite = read_suite(path)
    np.testing.assert_allclose(suite.best, [0.9, 0.4, 1, 0])
    np.testing.assert_allclose(suite.worth(np.array([[2, 0], [1, 1], [0, 0], [1, 1]])), [0.9, 0.2, 1, 0])


@pytest.mark.parametrize("choices", [2, 128])
def test_where_one_action_is_known_to_be_good_all_its_parts_have_to_be_right(choices: int) -> None:
    good = np.array([[0, 1], [choices - 1, 0]])
    experts, ranks = known_good(good, (choices, 2))
    assert experts.shape == (2, choices)
    assert (experts.sum(), ranks.sum()) == (2, 2)
    assert experts[1, choices - 1] == ranks[0, 1] == 1


def test_a_missing_file_is_a_config_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"safety\.suite"):
        read_suite(tmp_path / "none")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("no tensors")
    with pytest.raises(ConfigError, match="is not a suite file"):
        read_suite(path)


def test_a_suite_that_names_one_good_action_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_bytes(save({"features": FEATURES, "actions": np.zeros((4, 1), np.int64), "kinds": KINDS}))
    with pytest.raises(ConfigError, match=r"names one good action per prompt.*`ol0 warmup` writes one"):
        read_suite(path)


@pytest.mark.parametrize(
    "values",
    [[EXPERTS[:3]], [EXPERTS + 1], [EXPERTS - 1], [EXPERTS * np.nan], [EXPERTS * 0], [EXPERTS[:, :0]]],
    ids=["rows", "above 1", "below 0", "no number", "worth nothing", "no choice"],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, values: list[np.ndarray]) -> None:
    path = tmp_path / "suite"
    write_suite(path, FEATURES, values, KINDS)
    with pytest.raises(ConfigError, match="do not fit"):
        read_suite(path)
