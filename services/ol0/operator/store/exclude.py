"""``ol0 replay exclude``: what must not be learnt from any more leaves the ring."""

from ol0.config import Settings
from ol0.errors import ConfigError
from ol0.operator.store.forget import user_pseudonym
from ol0.operator.store.selection import Selection
from ol0.replay.connection import connect
from ol0.replay.exclusion import Exclusion, Removals
from ol0.wire.codec import Codec
from ol0.wire.payloads import Payloads


def select(settings: Settings, user: str | None, pseudonym: str | None, between: tuple[str, str] | None) -> Selection:
    """What the command's options mean.

    Raises:
        ConfigError: not exactly one of them is given.
    """
    match user, pseudonym, between:
        case str(), None, None:
            return Selection(pseudonym=user_pseudonym(settings, user))
        case None, str(), None:
            return Selection(pseudonym=pseudonym)
        case None, None, (begin, end):
            return Selection.between(begin, end)
    raise ConfigError("name exactly one of --user USER, --pseudonym P and --between T1 T2")


def find_examples(settings: Settings, selection: Selection) -> Removals:
    """The examples of the ring that are meant. Raises StoreError."""
    return _exclusion(settings).examples(selection.matches(Payloads(Codec())))


def take_out(settings: Settings, examples: Removals) -> int:
    """Takes them out, but for those whose slot holds another one by now; returns how many. Raises StoreError."""
    return _exclusion(settings).exclude(examples)


def _exclusion(settings: Settings) -> Exclusion:
    return Exclusion(connect(settings.redis), settings.kafka.topic_prefix)
