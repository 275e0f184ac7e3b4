"""Whether a checkpoint belongs to a base: what every checkpoint of a lineage must share with it, byte for byte.

Asked by release before a candidate is offered, by drift when it judges one, and by the SDK before one serves.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Self

import numpy as np
from pydantic import BeforeValidator

from ol0.controller.controller import Controller
from ol0.controller.hysteresis import Hysteresis
from ol0.controller.trunk_form import TrunkForm


def _from_pair(stored: object) -> object:
    """Earlier versions stored weights and tau as a pair."""
    return Hysteresis(tuple(stored[0]), stored[1]) if isinstance(stored, list | tuple) else stored


@dataclass(frozen=True)
class Structure:
    """What only a new lineage may change.

    Attributes:
        base_tensors: SHA-256 over shape and bytes of the base heads, part by part, and of the trunk.
        parts: names of the parts of an action, in order.
        dimension: number of features.
        epsilon: exploration. Another one would change the propensities that every estimate relies on.
        encoder: fingerprint of the encoder, None where features come in ready.
        hysteresis: another one would change what greedy means; None: a decision never looks back.
        trunk: form of the hidden layers; None where the heads see the features.
    """

    base_tensors: str
    parts: tuple[str, ...]
    dimension: int
    epsilon: float
    encoder: str | None
    hysteresis: Annotated[Hysteresis | None, BeforeValidator(_from_pair)] = None
    trunk: TrunkForm | None = None

    @classmethod
    def of(cls, controller: Controller) -> Self:
        """The structure of a controller whose file was verified."""
        fingerprint = sha256()
        tensors = [tensor for head in controller.base for tensor in (head.weight, head.bias)]
        if controller.trunk is not None:
            tensors += controller.trunk.tensors.values()
        for tensor in tensors:
            fingerprint.update(repr(tensor.shape).encode())
            fingerprint.update(np.ascontiguousarray(tensor, "<f4").tobytes())
        manifest = controller.manifest
        return cls(
            fingerprint.hexdigest(),
            manifest.parts,
            controller.dimension,
            manifest.epsilon,
            manifest.encoder,
            manifest.hysteresis,
            manifest.trunk,
        )

    def differences(self, base: Self) -> list[str]:
        """Says what differs from the base, a phrase each; empty if nothing does."""
        pairs: tuple[tuple[str, object, object], ...] = (
            ("parts", self.parts, base.parts),
            ("features", self.dimension, base.dimension),
            ("epsilon", self.epsilon, base.epsilon),
            ("encoder", self.encoder, base.encoder),
            ("hysteresis", self.hysteresis, base.hysteresis),
            ("trunk", self.trunk, base.trunk),
        )
        found = [f"{name}: {mine}, the base has {theirs}" for name, mine, theirs in pairs if mine != theirs]
        if self.base_tensors != base.base_tensors:
            found.append("its base heads or hidden layers are not those of the base, byte for byte")
        return found


def differences(controller: Controller, base: Controller) -> list[str]:
    """Says why a controller does not belong to a base, a phrase each; empty if it does."""
    return Structure.of(controller).differences(Structure.of(base))
