"""Every error that OL0 raises on purpose.

::

    OL0Error                  the message names the thing that is wrong and what to do next
    ├── ConfigError           a setting is missing, unknown or out of range
    ├── ContractError         a record breaks its schema: it goes to the dead-letter topic
    │   ├── RangeError        well-formed, but a value is out of range: NaN, p > 1, wrong dimension
    │   ├── UnknownSchema     framed with a schema id that this version does not know
    │   └── SignatureError    well-formed, but without a signature of a trusted key: it is ignored
    ├── CheckpointError       a checkpoint is not what it says: digest, shapes, finiteness, base, signature
    ├── StoreError            the replay store refuses: wrong settings, another incarnation, corrupt keys
    │   ├── Fenced            a newer owner has this partition: stop, do not retry
    │   ├── Gap               the store is at another offset than this worker: seek there
    │   └── NothingToDraw     no example may be drawn now: wait for new ones
    ├── StreamError           Kafka refuses or a topic is not what topics.toml says
    └── StackError            a local process did not come up

``ContractError`` concerns one record and is recoverable: dead-letter it and continue. Every other one is fatal for the
process that raises it; the supervisor or the scheduler restarts it.
"""


def flaw_of(error: Exception) -> str:
    """One line about an error of a parser: its class and the first line of its text."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


class OL0Error(Exception):
    """The root: its message says what was found, what was expected and what helps."""


class ConfigError(OL0Error):
    """A setting is missing, unknown or out of range."""


class ContractError(OL0Error):
    """A record does not follow its schema."""


class RangeError(ContractError):
    """A record follows its schema, but a value is out of range: NaN, a propensity above 1, a wrong dimension."""


class UnknownSchema(ContractError):  # noqa: N818 - named after what was found
    """A record is framed with a schema id that this version does not know."""


class SignatureError(ContractError):
    """A record follows its schema, but has no signature of a trusted key."""


class CheckpointError(OL0Error):
    """A checkpoint is not what it says it is."""


class StoreError(OL0Error):
    """The replay store refuses to continue."""


class Fenced(StoreError):  # noqa: N818 - a state of the world, named as the protocol names it
    """A newer epoch owns this partition."""


class Gap(StoreError):  # noqa: N818 - same
    """The store expects another offset than the one this worker came with."""


class NothingToDraw(StoreError):  # noqa: N818 - same
    """No example can be drawn now: the ring is empty, or all are excluded or too old. New ones end that."""


class StreamError(OL0Error):
    """Kafka refuses, or a topic is not as declared."""


class StackError(OL0Error):
    """A local process did not come up."""
