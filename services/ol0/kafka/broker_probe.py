"""Whether the broker answers: part of what makes a service ready."""

from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from ol0.errors import StreamError
from ol0.kafka.clients import Clients
from ol0.kafka.messages import error_of

PROBE_S: Final = 2.0
"""Below the time after which those who ask stop waiting; a broker that needs longer holds up every transaction."""
FIRST_S: Final = 4.0
"""With connecting to it, TLS and a login."""


def broker_probe(clients: Clients) -> Callable[[], None]:
    """A question to any broker of the cluster, sent with every call. Keeps one connection.

    Returns:
        Raises StreamError where none answers within ``PROBE_S``.
    """
    heard: list[KafkaError] = []
    admin = clients.admin(heard.append)

    def ask() -> None:
        _brokers(admin, heard, PROBE_S)

    return ask


def count_brokers(clients: Clients) -> int:
    """How many brokers the cluster has.

    Raises:
        StreamError: none answers within ``FIRST_S``.
    """
    heard: list[KafkaError] = []
    return _brokers(clients.admin(heard.append), heard, FIRST_S)


def require_broker(clients: Clients) -> None:
    """Asks once, before a command or a service does what would take longer to fail.

    Raises:
        StreamError: no broker answers within ``FIRST_S``; names the servers.
    """
    try:
        count_brokers(clients)
    except StreamError as error:
        raise StreamError(f"{error}; they are {clients.servers}: is the broker up?") from None


def _brokers(admin: AdminClient, heard: list[KafkaError], timeout_s: float) -> int:
    """Asks; ``heard`` gets the obstacle, such as a wrong password, which the answer does not mention."""
    heard.clear()
    try:
        return len(admin.describe_cluster(request_timeout=timeout_s).result(timeout_s).nodes)
    except (KafkaException, TimeoutError) as error:
        reason = error_of(error).str() if isinstance(error, KafkaException) else f"not within {timeout_s:g} s"
        admin.poll(0)
        causes = dict.fromkeys(one.str() for one in heard if one.code() != KafkaError._ALL_BROKERS_DOWN)  # noqa: SLF001 - librdkafka's own
        raise StreamError(f"no broker answers at kafka.bootstrap_servers: {'; '.join([reason, *causes])}") from None
