"""What a router is given by its host, and what it hands its records to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from ol0.clock import wall_clock_ms
from ol0.kafka.sending.producer_thread import Account
from ol0.records import FeaturesDtype, Record


class Sender(Protocol):
    """Takes records and never blocks: ``kafka.sending.host_sender.HostSender``."""

    @property
    def account(self) -> Account:
        """The account of the records so far."""
        ...

    def send(self, record: Record) -> bool:
        """Whether the record is on its way.

        Raises:
            ContractError: no reader would take it.
        """
        ...

    def close(self, timeout_s: float) -> None:
        """Waits, so long at most, until all is delivered; what is not is counted as lost."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """What a host may set besides the config.

    >>> Options(features_dtype=FeaturesDtype.FLOAT16, wait_s=1.0).wait_s
    1.0

    Attributes:
        features_dtype: of the logged features, ``ol0.records.FeaturesDtype``. FLOAT32 repeats decisions to the bit;
            FLOAT16 halves the log, and decisions are then made on the rounded features.
        clock: event time in ms since 1970. The soak harness passes its own.
        rng: explores. Seeded from the system's random source by default, whatever the host does with ``random.seed``,
            and once more in a forked child.
        wait_s: seconds that ``Router.open`` waits for Kafka before the base file serves.
    """

    features_dtype: FeaturesDtype = FeaturesDtype.FLOAT32
    clock: Callable[[], int] = wall_clock_ms
    rng: Random = field(default_factory=Random)
    wait_s: float = 5.0
