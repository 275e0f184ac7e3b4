"""The learner's progress between offers, which it needs after a restart."""

import json
from dataclasses import asdict, dataclass
from typing import Self

from ol0.errors import CheckpointError
from ol0.records import Digest, ServingState


@dataclass(frozen=True, slots=True)
class Progress:
    """Written with every offer, and whenever an offer is settled.

    Attributes:
        step: of the last candidate that was offered; 0: none.
        offered: its digest; None: none.
        settled: whether the learner has processed its result.
        failures: ``ServingState.failures`` when it was offered.
        serving: the last live release that the learner read.
        resume: the candidate or release whose snapshot a restart continues from.
        trained: examples used by updates when that snapshot was taken.
        releases: candidates of this learner that went live, oldest first.
        turned_down: candidates that did not go live minus those that did; never below 0.
        signer: id of the key that signed the last candidate; None: not signed.
    """

    step: int
    offered: Digest | None
    settled: bool
    failures: int
    serving: Digest
    resume: Digest
    trained: int
    releases: tuple[Digest, ...]
    turned_down: int = 0
    signer: str | None = None

    @classmethod
    def first(cls, state: ServingState) -> Self:
        """Before the first offer: learning starts from the live release."""
        live = state.live.digest
        return cls(
            step=state.decided_step,
            offered=None,
            settled=True,
            failures=state.failures,
            serving=live,
            resume=live,
            trained=0,
            releases=(),
        )

    def pack(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """The inverse of ``pack``.

        Raises:
            CheckpointError: the bytes cannot be read.
        """
        try:
            fields = json.loads(data)
            return cls(**{**fields, "releases": tuple(fields["releases"])})
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"learner progress cannot be read: {error}; `ol0 snapshots delete learner` lets it start from what "
                "serves"
            ) from None
