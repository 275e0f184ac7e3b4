"""The reward rule: from everything that was said of one decision to one number."""

from collections.abc import Mapping, Sequence
from itertools import chain
from math import fsum
from operator import attrgetter
from typing import Final, NamedTuple

from ol0.feedback.signals import Part, statements
from ol0.records import RewardParts
from ol0.replay.layout import FeedbackEntry

BY_TIME: Final = attrgetter("time_ms", "feedback_id")
SILENCE: Final = RewardParts()


class Reward(NamedTuple):
    """What a decision's feedback comes to.

    Attributes:
        value: 0..1, or None where there is nothing to go by.
        parts: what each kind of feedback says.
        used: entries that the parts were made of.
        superseded: entries that later ones of the same source replaced.
    """

    value: float | None
    parts: RewardParts
    used: int
    superseded: int


def reward(
    entries: Sequence[FeedbackEntry],
    taken: int,
    weights: Mapping[str, float],
    missing: float | None,
) -> Reward:
    """Weighs everything that was said of one decision. Pure, and independent of the order of arrival.

    For each part, the last statement of each source counts ("last": by time, then by feedback id); a part is the mean
    over its sources; the reward is the mean of the parts that are there, weighted. A tool is a source of its own. The
    page docs/reward.md has a table of the cases, and a test holds this function to each of its rows.

    Args:
        entries: those that belong to the decision's window.
        taken: code of the action that the decision took.
        weights: by part; a part that is not named weighs nothing.
        missing: the value where nothing was said.
    """
    if not entries:
        return Reward(missing, SILENCE, 0, 0)
    heard = [statements(entry, taken) for entry in entries]
    parts = dict(chain.from_iterable(heard))
    used = len(entries) - heard.count([])
    if len(parts) != sum(map(len, heard)):
        parts, used = _settled(entries, taken)
    # Otherwise no part was spoken of twice, as mostly: nothing replaces anything, and every mean is of one.
    return Reward(_weighted_mean(parts, weights, missing), RewardParts(**parts), used, len(entries) - used)


def _settled(entries: Sequence[FeedbackEntry], taken: int) -> tuple[dict[Part, float], int]:
    """The parts, each from the last statement of every source, and how many entries they were made of."""
    last: dict[tuple[Part, bytes], tuple[int, float]] = {}
    for index, entry in enumerate(sorted(entries, key=BY_TIME)):
        for part, value in statements(entry, taken):
            last[part, entry.source] = index, value
    said: dict[Part, list[float]] = {}
    for (part, _), (_, value) in last.items():
        said.setdefault(part, []).append(value)
    parts = {part: fsum(values) / len(values) for part, values in said.items()}
    return parts, len({index for index, _ in last.values()})


def _weighted_mean(parts: Mapping[Part, float], weights: Mapping[str, float], missing: float | None) -> float | None:
    pairs = [(weights.get(part, 0.0), value) for part, value in parts.items()]
    total = fsum([weight for weight, _ in pairs])
    if total <= 0:
        return missing
    # fsum is exact, so the order of the parts cannot be seen in the last bit; clipped, because the quotient may round.
    return min(1.0, fsum([weight * value for weight, value in pairs]) / total)
