from dataclasses import asdict
from importlib import metadata

import numpy as np
import pytest

from ol0.operator.setup.prompts import Prompts
from ol0.simulation.settlement import environment, kind_policy
from ol0.version import VERSION
from testbed.worlds import KIND_COUNT, experts, good, make_base, make_candidate


def test_a_kind_is_held_against_its_best_single_expert_and_the_best_of_each_prompt() -> None:
    # Given prompts of eight kinds of which expert 3 answers all quite well, and another most of them a little better.
    success = np.full((KIND_COUNT, 4), 0.1, np.float32)
    success[np.arange(KIND_COUNT), [good(kind) for kind in range(KIND_COUNT)]] = 0.8
    success[:, 3] = 0.7
    asked = Prompts(np.eye(KIND_COUNT, dtype=np.float32), success, np.full(KIND_COUNT, "kind"))
    # When the base knows half of them, and a candidate all.
    base = make_base()
    found = kind_policy(asked, base.controller, make_candidate(base, takes=experts()).controller)
    # Then what each brings stands beside what could be had.
    np.testing.assert_allclose(list(asdict(found).values()), [4.1 / 8, 6.2 / 8, 0.7, 6.2 / 8], rtol=1e-6)


def test_ol0_has_its_version_in_the_report_where_it_was_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a container, in which the sources of OL0 are on the path
    monkeypatch.setattr(metadata.Distribution, "from_name", from_name_but_ol0)
    # Then its version is known all the same
    assert environment()["ol0"] == VERSION


def from_name_but_ol0(name: str) -> metadata.Distribution:
    if name == "ol0":
        raise metadata.PackageNotFoundError(name)
    return next(iter(metadata.distributions(name=name)))
