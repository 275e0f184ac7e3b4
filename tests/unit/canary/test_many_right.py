"""Suites on which many experts are right, none is perfect, or rewards are rare."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from ol0.canary.offline import Finding, judge_base, judge_candidate, run_suite
from ol0.config import SafetyConfig
from ol0.controller.checkpoint import digest_of, write_checkpoint
from ol0.controller.controller import Manifest
from ol0.controller.heads import Floats, Head, Mixer
from ol0.controller.suite import Suite
from ol0.records import Digest

SAFETY = SafetyConfig()
PROMPTS = 1_200
KINDS = 24
Takes = Sequence[int] | NDArray[np.intp]
Numbers = Floats | NDArray[np.float64]


def head(takes: Takes, choices: int) -> Head:
    """Takes these experts, one a kind, and is sure of it."""
    return Head(9 * np.eye(choices, dtype=np.float32)[np.asarray(takes)].T, np.zeros(choices, np.float32))


def heads(base: Takes, learnt: Takes, choices: int) -> bytes:
    mixer = Mixer(np.full(KINDS, 9, np.float32), 0.0)
    return write_checkpoint(
        Manifest(None, None, 0, ("expert",), 0.1), (head(base, choices),), (head(learnt, choices),), mixer
    )


def suite(values: Numbers) -> Suite:
    """Fifty prompts of each kind; values of shape (kinds, experts)."""
    kinds = np.arange(PROMPTS) % KINDS
    features = np.eye(KINDS, dtype=np.float32)[kinds]
    return Suite(Digest("5" * 64), features, (values[kinds].astype(np.float32),), np.zeros(PROMPTS, np.uint8))


def judge(asked: Suite, base: Takes, learnt: Takes) -> list[Finding]:
    choices = asked.choices[0]
    files = heads(base, base, choices), heads(base, learnt, choices)
    first, then = (run_suite(asked, digest_of(data), data, SAFETY) for data in files)
    return [*judge_base(asked, first, 0.5), *judge_candidate(asked, SAFETY, then, first, first)]


def against(findings: list[Finding]) -> set[str]:
    return {finding.reason.check for finding in findings if not finding.passed}


def many_right(choices: int) -> Floats:
    """Of each kind, two thirds of the experts are right; expert 1 always, expert 0 never."""
    values = np.random.default_rng(choices).random((KINDS, choices)) < 2 / 3
    values[:, 0], values[:, 1] = False, True
    return values.astype(np.float32)


@pytest.mark.parametrize("choices", [2, 9, 128])
def test_the_order_of_the_experts_changes_no_figure(choices: int) -> None:
    rng = np.random.default_rng(choices)
    values, base, learnt = many_right(choices), *rng.integers(0, choices, (2, KINDS))
    base[: KINDS // 2] = 1
    order = rng.permutation(choices)
    place = np.argsort(order)
    plain, moved = judge(suite(values), base, learnt), judge(suite(values[:, order]), place[base], place[learnt])
    assert moved == plain


@pytest.mark.parametrize("choices", [2, 9, 128])
@pytest.mark.parametrize("scale", [1.0, 0.005])
def test_all_to_a_bad_expert_is_refused_however_many_others_are_right(choices: int, scale: float) -> None:
    found = judge(suite(scale * many_right(choices)), [1] * KINDS, [0] * KINDS)
    assert against(found) == {"suite_base", "performance_base"}


@pytest.mark.parametrize("choices", [9, 128])
@pytest.mark.parametrize("scale", [1.0, 0.005])
def test_other_right_experts_are_as_good(choices: int, scale: float) -> None:
    values = scale * many_right(choices)
    others = values[:, 2:].argmax(axis=1) + 2
    assert not against(judge(suite(values), [1] * KINDS, others))


def test_a_base_is_worth_what_its_answers_are_not_how_often_it_names_the_first_right_one() -> None:
    (found, *_) = judge(suite(many_right(9)), [1] * KINDS, [1] * KINDS)
    assert found.reason.figure == 1


@pytest.mark.parametrize("scale", [1.0, 0.005])
@pytest.mark.parametrize(("loss", "is_kept"), [(0.005, True), (0.05, False)])
def test_graded_values_count_as_much_as_they_differ(loss: float, is_kept: bool, scale: float) -> None:  # noqa: FBT001
    values = np.tile([0.6, 0.6 * (1 - loss), 0.1], (KINDS, 1)) * scale
    found = judge(suite(values), [0] * KINDS, [1] * KINDS)
    assert against(found) == (set() if is_kept else {"suite_base"})


def test_a_critical_prompt_may_go_to_another_right_expert_but_not_to_a_wrong_one() -> None:
    values, base = many_right(9), [1] * KINDS
    asked = suite(values)
    # The base is surer of the first prompt than of any other.
    asked.features[0] *= 2
    right, wrong = base.copy(), base.copy()
    right[0], wrong[0] = int(values[0, 2:].argmax()) + 2, 0
    assert "critical" not in against(judge(asked, base, right))
    assert "critical" in against(judge(asked, base, wrong))


def test_what_the_base_is_as_sure_of_as_of_everything_is_not_critical() -> None:
    asked = suite(many_right(9))
    data = heads([1] * KINDS, [1] * KINDS, 9)
    assert not run_suite(asked, digest_of(data), data, SAFETY).critical.any()
