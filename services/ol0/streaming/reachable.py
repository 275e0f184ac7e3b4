"""Whether the broker answers, for whoever asks a service if it is ready."""

from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaException

from ol0.errors import StreamError
from ol0.streaming.clients import Clients
from ol0.streaming.messages import error_of

PROBE_S: Final = 2.0
"""Below the time after which those who ask stop waiting; a broker that needs longer holds up every transaction."""


def broker_probe(clients: Clients) -> Callable[[], None]:
    """A question to any broker of the cluster, sent anew with every call. Keeps one connection.

    Returns:
        Raises StreamError where none answers within ``PROBE_S``.
    """
    admin = clients.probe()

    def ask() -> None:
        try:
            admin.describe_cluster(request_timeout=PROBE_S).result(PROBE_S)
        except (KafkaException, TimeoutError) as error:
            reason = error_of(error).str() if isinstance(error, KafkaException) else f"not within {PROBE_S:g} s"
            raise StreamError(f"no broker answers at kafka.bootstrap_servers: {reason}") from None

    return ask
