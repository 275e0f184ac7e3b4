"""Which decisions were made while the learnt policy was allowed to serve."""

from ol0.records import Mode, ServingState


class Modes:
    """Remembers the serving sequences outside of mode apply.

    There the base serves everybody and logs as holdback. To count them as holdback would compare hours, not arms: the
    lift rests on a coin that was thrown for each session, and in those hours nobody threw it.
    """

    def __init__(self) -> None:
        self.spans: list[tuple[int, int | None]] = []
        """First sequence outside of apply, and the first back in it; None while it lasts."""

    def take(self, state: ServingState) -> None:
        """Takes a serving state, in the order of sequence."""
        outside = bool(self.spans) and self.spans[-1][1] is None
        if state.mode is not Mode.APPLY and not outside:
            self.spans.append((state.sequence, None))
        elif state.mode is Mode.APPLY and outside:
            self.spans[-1] = (self.spans[-1][0], state.sequence)

    def applied(self, sequence: int) -> bool:
        """Whether a decision under this serving sequence belongs to an arm."""
        return not any(start <= sequence and (stop is None or sequence < stop) for start, stop in self.spans)
