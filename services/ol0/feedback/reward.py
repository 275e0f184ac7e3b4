"""The reward rule: from everything that was said of one decision to one number."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ol0.feedback.signals import Part, statements
from ol0.records import Action, RewardParts
from ol0.replay.entries import FeedbackEntry


@dataclass(frozen=True, slots=True)
class Reward:
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
    entries: Iterable[FeedbackEntry],
    action: Action,
    weights: Mapping[str, float],
    missing: float | None,
) -> Reward:
    """Weighs everything that was said of one decision. Pure, and independent of the order of arrival.

    For each part, the last statement of each source counts ("last": by time, then by feedback id); a part is the mean
    over its sources; the reward is the weighted mean of the parts that are there. A tool is a source of its own.

    ==========================================  ==========================================
    said                                        part
    ==========================================  ==========================================
    thumb +1, -1                                thumb 1, 0
    rating r of 1..5                            rating (r - 1) / 4
    correction to the action taken, to another  correction 1, 0 (the action's first part)
    tool succeeded, failed                      tool 1, 0
    copy of strength s                          implicit .5 + .5 s
    retry or abandonment of strength s          implicit .5 - .5 s
    ==========================================  ==========================================

    =================================================  ==============================================
    case, with the default weights 1, 1, 2, 1, .5      reward
    =================================================  ==============================================
    thumb +1                                           1
    thumb +1, then -1 of the same source               0, one superseded
    thumb +1, then a rating of 3 of the same source    (1 + .5) / 2: they do not contradict each other
    thumb +1 of one user, -1 of another                .5
    thumb -1, correction to the action taken           (0 + 2) / 3
    search failed, then succeeded; shell failed        tool (1 + 0) / 2 = .5, one superseded
    copy of strength 1, tool failed                    (.5 + 0) / 1.5
    nothing, or only parts of weight 0                 ``missing``
    =================================================  ==============================================

    Args:
        entries: those that belong to the decision's window.
        action: what the decision took.
        weights: by part; a part that is not named weighs nothing.
        missing: the value where nothing was said.
    """
    ordered = sorted(entries, key=lambda entry: (entry.time_ms, entry.feedback_id))
    last: dict[tuple[Part, bytes], tuple[int, float]] = {}
    for index, entry in enumerate(ordered):
        for part, value in statements(entry, action):
            last[part, entry.source] = index, value
    said: dict[Part, list[float]] = {}
    for (part, _), (_, value) in last.items():
        said.setdefault(part, []).append(value)
    parts = {part: math.fsum(values) / len(values) for part, values in said.items()}
    used = len({index for index, _ in last.values()})
    return Reward(
        _weighted_mean(parts, weights, missing),
        RewardParts(**{part.value: value for part, value in parts.items()}),
        used,
        len(ordered) - used,
    )


def _weighted_mean(parts: Mapping[Part, float], weights: Mapping[str, float], missing: float | None) -> float | None:
    total = math.fsum(weights.get(part, 0.0) for part in parts)
    if total <= 0:
        return missing
    # fsum is exact, so the order of the parts cannot be seen in the last bit; clipped, because the quotient may round.
    return min(1.0, math.fsum(weights.get(part, 0.0) * value for part, value in parts.items()) / total)
