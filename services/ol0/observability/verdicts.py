"""What a gate says, as metrics."""

from collections import Counter
from collections.abc import Iterator

from ol0.observability import metrics
from ol0.observability.loop_stats import LoopStats
from ol0.observability.metrics import Figure
from ol0.records import Judgement, Verdict


class VerdictFigures:
    """Counts the verdicts of one gate and shows the last one's checks: a listener for ``Rounds``."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._counts: Counter[Judgement] = Counter()

    def __call__(self, done: LoopStats) -> Iterator[Figure]:
        """Figures that changed in this round."""
        verdicts = [record for record in done.written if isinstance(record, Verdict)]
        if not verdicts:
            return
        self._counts.update(verdict.judgement for verdict in verdicts)
        yield from (Figure(metrics.VERDICTS, n, (self._service, judged)) for judged, n in self._counts.items())
        *_, last = verdicts
        yield Figure(metrics.EVIDENCE, last.evidence, (self._service,))
        for reason in last.reasons:
            labels = (self._service, reason.check)
            if reason.figure is not None:
                yield Figure(metrics.CHECK_FIGURE, reason.figure, labels)
            if reason.threshold is not None:
                yield Figure(metrics.CHECK_THRESHOLD, reason.threshold, labels)
