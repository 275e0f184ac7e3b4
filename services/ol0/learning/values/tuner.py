"""What trains hidden layers below the heads, to those who learn the heads."""

from collections.abc import Sequence
from typing import Protocol

from ol0.controller.heads import Doubles, Head
from ol0.controller.trunk import Trunk
from ol0.learning.batch import Batch
from ol0.learning.values.scales import Scales


class Tuner(Protocol):
    """Trains hidden layers. The same arguments give the same layers."""

    @property
    def trunk(self) -> Trunk:
        """The base's, tuned to what it is."""

    def tune(
        self,
        before: Trunk,
        heads: Sequence[tuple[Head, Scales]],
        live: Batch,
        weights: Doubles,
        logged: Batch,
        own: Doubles,
    ) -> Trunk:
        """The trunk after one more round of training.

        Args:
            before: where the last round ended.
            heads: of the last refit, one per part, whose logits are values; and its scales.
            live: every example that may be drawn, as the base's heads see them.
            weights: what each of them counts, shape (n,).
            logged: anchors, likewise.
            own: what each of these counts.
        """
