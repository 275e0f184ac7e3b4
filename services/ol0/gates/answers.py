"""What two controllers would do with one prompt."""

from ol0.records import Action


def differ(one: Action | str | None, other: Action | str | None) -> bool:
    """Whether two greedy actions differ. Where one is not known they may: that costs deviation, never validity."""
    return one is None or other is None or one != other
