"""Where a lineage's learner stands between offers: what a restart must know."""

import json
from dataclasses import asdict, dataclass
from typing import Self

from ol0.errors import CheckpointError
from ol0.records import Digest, ServingState


@dataclass(frozen=True, slots=True)
class Progress:
    """Written with every offer and whenever an offer is settled.

    Attributes:
        step: of the last candidate that was offered; 0: none.
        offered: its digest; None: none.
        settled: whether its fate was taken in.
        failures: ``ServingState.failures`` when it was offered.
        serving: the live release that was seen last.
        resume: the candidate or release whose snapshot a restart goes on from.
        trained: examples that were paid for with updates when that snapshot was taken.
        releases: candidates of this learner that went live, oldest first.
        turned_down: candidates that did not go live, less those that did, since there was none of the former.
        signer: id of the key that the last candidate was signed with; None: of no key.
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
        """Nothing offered yet; learning starts from what serves."""
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
            CheckpointError: the bytes are no progress.
        """
        try:
            fields = json.loads(data)
            return cls(**{**fields, "releases": tuple(fields["releases"])})
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"learner progress cannot be read: {error}; tombstone the key `learner` in the state topic to start "
                "from what serves"
            ) from None
