import re

import numpy as np
import pytest

from ol0.canary.offline import SUITE_ALPHA
from ol0.canary.paired import Differences, lower_bound
from ol0.canary.size import check_suite_size
from ol0.config import SafetyConfig
from ol0.errors import ConfigError

SAFETY = SafetyConfig()


def best(prompts: int, value: float = 1.0) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.full(prompts, value, np.float32)


def test_a_suite_that_approves_nothing_is_refused_with_a_margin_that_it_could_show() -> None:
    with pytest.raises(ConfigError, match="a canary suite of 50 prompts approves nothing") as refused:
        check_suite_size(best(50), SAFETY)
    found = re.search(r"set safety\.suite_margin = ([\d.]+), for", str(refused.value))
    assert found is not None
    check_suite_size(best(50), SAFETY.model_copy(update={"suite_margin": float(found[1])}))


@pytest.mark.parametrize("value", [1.0, 0.005])
def test_it_is_refused_just_where_an_equal_candidate_fails(value: float) -> None:
    for prompts in (132, 133):
        low = lower_bound(Differences.of(np.zeros(prompts)), value, SUITE_ALPHA)
        if low < -SAFETY.suite_margin * value * (1 + 1e-6):
            with pytest.raises(ConfigError, match="which takes 133"):
                check_suite_size(best(prompts, value), SAFETY)
        else:
            assert "approves few candidates" in (check_suite_size(best(prompts, value), SAFETY) or "")


def test_a_large_suite_needs_no_word() -> None:
    assert check_suite_size(best(1_200), SAFETY) is None


def test_prompts_without_a_good_choice_count_for_little() -> None:
    mostly_hopeless = np.where(np.arange(1_200) % 10 == 0, 1, 0).astype(np.float32)
    with pytest.raises(ConfigError, match=r"1,200 prompts approves nothing"):
        check_suite_size(mostly_hopeless, SAFETY)
