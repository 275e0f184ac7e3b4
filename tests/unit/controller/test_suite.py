from pathlib import Path

import numpy as np
import pytest

from ol0.controller.suite import read_suite, write_suite
from ol0.errors import ConfigError

FEATURES = np.eye(4, dtype=np.float32)
ACTIONS = np.array([[0], [1], [2], [3]])
KINDS = np.zeros(4, np.uint8)


def test_a_suite_is_read_back_with_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "suite.safetensors"
    write_suite(path, FEATURES, ACTIONS, KINDS)
    suite = read_suite(path)
    np.testing.assert_array_equal(suite.actions, ACTIONS)
    assert len(suite.digest) == 64


def test_a_missing_file_is_a_config_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"safety\.suite"):
        read_suite(tmp_path / "none")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("no tensors")
    with pytest.raises(ConfigError, match="is not a suite file"):
        read_suite(path)


def test_arrays_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "suite"
    write_suite(path, FEATURES, ACTIONS[:3], KINDS)
    with pytest.raises(ConfigError, match="do not fit"):
        read_suite(path)
