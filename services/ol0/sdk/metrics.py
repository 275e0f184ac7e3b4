"""A host's router as metrics, on the host's own registry."""

from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from ol0.observability import metrics
from ol0.observability.metrics import Board, Figure
from ol0.sdk.router import Router


class RouterMetrics(Collector):
    """Asks the router whenever Prometheus asks the host: records delivered, waiting and lost by reason, age, sequence.

    >>> from prometheus_client import CollectorRegistry, generate_latest
    >>> from ol0 import Base, Router
    >>> router = Router.local(Base.from_linear([[1.0, 0.0], [0.0, 1.0]]).data)
    >>> registry = CollectorRegistry()  # or REGISTRY of prometheus_client, which your host serves already
    >>> registry.register(RouterMetrics(router))
    >>> b"ol0_sdk_delivered_total 0.0" in generate_latest(registry)
    True

    Args:
        router: of this process; a forked child registers its own.
    """

    def __init__(self, router: Router) -> None:
        self._router = router

    def collect(self) -> Iterator[Metric]:
        """Figures of this moment."""
        board = Board()
        board.put(self._figures())
        return board.collect()

    def _figures(self) -> Iterator[Figure]:
        account = self._router.account
        yield Figure(metrics.SDK_DELIVERED, account.delivered)
        yield Figure(metrics.SDK_WAITING, account.waiting)
        yield from (Figure(metrics.SDK_DROPPED, count, (reason,)) for reason, count in account.reasons.items())
        if (age_s := self._router.age_s) is not None:
            yield Figure(metrics.SDK_AGE, age_s)
        if (serving := self._router.serving) is not None:
            yield Figure(metrics.SDK_SEQUENCE, serving[0])
