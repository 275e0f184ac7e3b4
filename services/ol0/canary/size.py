"""Whether a suite has prompts enough to approve anything."""

from math import ceil
from statistics import NormalDist
from typing import Final

import numpy as np

from ol0.canary.offline import SUITE_ALPHA
from ol0.canary.paired import Differences, prompts_needed
from ol0.config import SafetyConfig
from ol0.controller.heads import Floats
from ol0.errors import ConfigError

CHANGED: Final = 0.05
"""Of the prompts, those that a useful candidate answers otherwise, as often better as worse. The demo's: 2 to 5 %."""


def check_suite_size(best: Floats, safety: SafetyConfig) -> str | None:
    """What is to be said of a suite's size; None where it is large enough.

    Args:
        best: what the best action of each prompt is worth, shape (N,), not all of them 0.
        safety: says what has to be shown.

    Raises:
        ConfigError: it is so small that even a candidate that answers exactly like the base could not be approved.
    """
    count, unit, largest = len(best), float(best.mean()), float(best.max())
    change = Differences(1, np.array([-unit, 0.0, unit]), np.array([CHANGED / 2, 1 - CHANGED, CHANGED / 2]))
    same = Differences(1, np.zeros(1), np.ones(1))
    least, wanted = (prompts_needed(seen, largest, safety.suite_margin * unit, SUITE_ALPHA) for seen in (same, change))
    cure = f"a warm-up keeps a quarter of the old prompts back for it, so bring {4 * wanted:,}, or set"
    if count < least:
        # Of prompts that are all answered alike, the bound is -largest / (1 + N / z^2).
        margin = ceil(1_000 * largest / unit / (1 + count / NormalDist().inv_cdf(1 - SUITE_ALPHA) ** 2)) / 1_000
        raise ConfigError(
            f"a canary suite of {count:,} prompts approves nothing at safety.suite_margin = "
            f"{safety.suite_margin:g}, not even a candidate that answers all of them like the base, which takes "
            f"{least:,}: {cure} safety.suite_margin = {margin:g}, for the services too"
        )
    if count < wanted:
        return (
            f"A canary suite of {count:,} prompts approves few candidates at safety.suite_margin = "
            f"{safety.suite_margin:g}: one that is as good as the base and answers {CHANGED:.0%} of the prompts "
            f"otherwise takes {wanted:,}; {cure} a larger margin, for the services too."
        )
    return None
