"""docs/api.md is what the docstrings say, and their examples are right."""

import doctest
from importlib import import_module

import pytest

import ol0
from testbed.api_page import GROUPS, PAGE, page

NAMES = [path for paths in GROUPS.values() for path in paths]
MODULES = sorted(
    {getattr(import_module(path.rpartition(".")[0]), path.rpartition(".")[2]).__module__ for path in NAMES}
)
WITH_EXAMPLES = {
    "ol0.Base",
    "ol0.OnlineLearner",
    "ol0.Router",
    "ol0.sdk.metrics.RouterMetrics",
    "ol0.sdk.options.Options",
}


def test_the_page_is_what_make_api_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_public_name_is_on_it() -> None:
    assert {f"ol0.{name}" for name in ol0.__all__} <= set(NAMES)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_are_right(module: str) -> None:
    assert doctest.testmod(import_module(module)).failed == 0


@pytest.mark.parametrize("path", sorted(WITH_EXAMPLES))
def test_what_hosts_begin_with_has_an_example(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert ">>> " in getattr(import_module(module), name).__doc__
