"""Which right the broker misses, in the words of the table in docs/operating.md."""

from collections.abc import Collection
from typing import Final

from confluent_kafka import KafkaError

from ol0.errors import StreamError

KINDS: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "group",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "transactional id",
}
UNSEEN: Final = frozenset({KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC})  # noqa: SLF001 - its own
"""What librdkafka says of a topic that its user may not see, as of one that does not exist."""
SEEING: Final = "Read, Write or Describe"
"""Any of them makes a topic visible."""
PAGE: Final = 'docs/operating.md, "Secure broker and store", lists the rights'


class Denied(StreamError):  # noqa: N818 - a state of the world, as Fenced and Gap are
    """The broker knows who asks, and refuses until the right is granted."""


def is_denied(error: KafkaError) -> bool:
    """Whether the broker knows who asks, and says no."""
    return error.code() in KINDS


def missing_right(error: KafkaError, operation: str, names: Collection[str]) -> str:
    """What to add to the words of an error; empty where it is about something else.

    Args:
        error: of the broker.
        operation: that was tried.
        names: of what it was tried on: the topics, groups or transactional ids of which at least one is not allowed. An
            idempotent producer that may not write a single topic is denied before it names one.
    """
    if error.code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
        return f": Write on any topic at all is missing; {PAGE}"
    if error.code() in UNSEEN:
        return f": it is not there, or {operation} on topic {' or '.join(sorted(names))} is missing; {PAGE}"
    kind = KINDS.get(error.code())
    return "" if kind is None else f": {operation} on {kind} {' or '.join(sorted(names))} is missing; {PAGE}"
