"""``ol0 forget``: a user leaves no trace that anybody could learn from."""

from collections.abc import Mapping
from dataclasses import dataclass

from ol0.clock import wall_clock_ms
from ol0.config import HostKey, Settings
from ol0.controller.arms import pseudonym
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.record_sender import RecordSender
from ol0.operator.store.selection import Selection
from ol0.records import OperatorCommand, OperatorKind
from ol0.replay.connection import connect
from ol0.replay.exclusion import Exclusion
from ol0.wire.payloads import Payloads
from ol0.wire.topics import DAY_MS

COPIES = ("decisions", "feedback.user", "feedback.tool", "feedback.implicit", "outcomes")
"""Topics whose records may name a user, by pseudonym or as a source."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was removed.

    Attributes:
        pseudonym: of the user.
        windows: open windows that are gone now, with the feedback that waited in them.
        examples: examples that are gone from the ring.
        retention_days: of the topics that still hold copies, by full name.
    """

    pseudonym: str
    windows: int
    examples: int
    retention_days: Mapping[str, float]


def forget_user(settings: Settings, user: str, actor: str, reason: str) -> Forgotten:
    """Orders to forget a user permanently, and removes the user's data from the store. May be repeated.

    The order comes first: every feedback process then drops the user's decisions, when they arrive and when their
    windows close, and takes out of the ring what it let in before it knew. A decision whose window is open at that
    moment becomes a counted drop and gets no outcome; outcomes that were made before stay on their topic until they
    expire.

    Two limits. A copy of such a decision that a process reads before it has heard gets an outcome after all, without
    the feedback that went with the first window. And where the store is restored from before the order (an append-only
    file that lacks the last second), outcomes that are made again lack the user's: their numbers move up, and
    readers take as many new ones for repeats.

    Raises:
        ConfigError: ``serving.user_key`` is not set.
        StreamError: the order was not acknowledged; nothing was removed.
        StoreError: the store is damaged or out of reach; the order is in force.
    """
    name = user_pseudonym(settings, user)
    lineage = Lineage.of(settings.kafka)
    order = OperatorCommand(OperatorKind.FORGET, name, actor, reason, wall_clock_ms())
    RecordSender(lineage).send_all([order])
    exclusion = Exclusion(connect(settings.redis), settings.kafka.topic_prefix)
    matches = Selection(pseudonym=name).matches(Payloads(lineage.codec))
    windows = exclusion.forget(exclusion.windows(matches))  # before the examples: one may close in between
    examples = exclusion.exclude(exclusion.examples(matches))
    return Forgotten(name, windows, examples, _retention_days(lineage))


def user_pseudonym(settings: Settings, user: str) -> str:
    """The name under which the SDK of this lineage stores a user. Raises ConfigError where there is no key."""
    return pseudonym(user, settings.serving.key(HostKey.USER))


def _retention_days(lineage: Lineage) -> dict[str, float]:
    specs = {lineage.topics.full(name): lineage.topics.spec(name) for name in COPIES}
    return {name: (spec.retention_ms or 0) / DAY_MS for name, spec in specs.items()}
