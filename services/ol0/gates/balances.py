"""Whether two arms that a gate compares are heard of alike."""

from dataclasses import replace

from ol0.config import SafetyConfig
from ol0.statistics.balance import Balance


def balance_of(safety: SafetyConfig, smallest_share: float, stored: Balance | None = None) -> Balance:
    """The tests of one pair of arms, at a tenth of alpha; they continue what was stored, where something was."""
    alpha = safety.alpha / 10
    return replace(stored, alpha=alpha) if stored else Balance.of(alpha, safety.rate_tolerance, smallest_share)
