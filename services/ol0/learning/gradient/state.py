"""The state of a learner, and its bytes."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from ol0.controller.heads import Floats
from ol0.controller.packing import pack_tensors
from ol0.errors import CheckpointError
from ol0.learning.adam import Adam
from ol0.learning.evidence import Evidence
from ol0.learning.known_prompts import KnownPrompts
from ol0.learning.trust import Trust

_TRAINED = ("heads", "theta", "mixer")
_WEIGHTS = ("heads", "average", "theta", "mixer")
_TRUST = ("doubt", "draws", "votes")

Bytes = NDArray[np.uint8]
# A generator's state as numpy gives and takes it: names, 128-bit integers and one level of nesting.
RngState = Mapping[str, "str | int | Mapping[str, int]"]


@dataclass(frozen=True, slots=True)
class LearnerState:
    """Immutable: a step makes a new one.

    Attributes:
        heads: W, stacked, shape (D + 1, K).
        average: W_EMA, same shape.
        theta: the reward model's correction of the base, same shape.
        mixer: shape (D + 1,).
        heads_adam: state of the optimiser of the heads.
        theta_adam: of theta.
        mixer_adam: of the mixer.
        trust: in users.
        evidence: from fresh examples.
        known: prompts that came before.
        seen: examples of the replay buffer in these three.
        steps: taken so far.
    """

    heads: Floats
    average: Floats
    theta: Floats
    mixer: Floats
    heads_adam: Adam
    theta_adam: Adam
    mixer_adam: Adam
    trust: Trust
    evidence: Evidence
    known: KnownPrompts
    seen: int
    steps: int

    @classmethod
    def starting_from(cls, heads: Floats, mixer: Floats) -> Self:
        """The initial state with these heads (D + 1, K) and this mixer (D + 1,)."""
        adam = Adam.like(heads)
        memories = adam, adam, Adam.like(mixer)
        return cls(
            heads, heads, np.zeros_like(heads), mixer, *memories, Trust.nobody(), Evidence(), KnownPrompts.none(), 0, 0
        )


def pack_state(state: LearnerState, rng: RngState) -> bytes:
    """Safetensors bytes, bit for bit; the counters and the generator's state as JSON in one more tensor."""
    weights = (state.heads, state.average, state.theta, state.mixer)
    adams = dict(zip(_TRAINED, (state.heads_adam, state.theta_adam, state.mixer_adam), strict=True))
    counters = {"rng": rng, "steps": state.steps, "seen": state.seen, "evidence": asdict(state.evidence)}
    counters |= {name: adam.count for name, adam in adams.items()}
    tensors: dict[str, Floats | Bytes] = dict(zip(_WEIGHTS, weights, strict=True))
    for name, adam in adams.items():
        tensors |= {f"{name}.first": adam.first, f"{name}.second": adam.second}
    tensors |= {f"trust.{name}": getattr(state.trust, name) for name in _TRUST}
    tensors["known.tags"] = state.known.tags
    tensors["counters"] = np.frombuffer(json.dumps(counters, sort_keys=True).encode(), np.uint8)
    return pack_tensors(tensors)


def unpack_state(data: bytes, like: LearnerState) -> tuple[LearnerState, RngState]:
    """The inverse of ``pack_state``.

    Args:
        data: the bytes.
        like: a state of the right shapes.

    Raises:
        CheckpointError: the bytes cannot be read, or are of heads of another shape.
    """
    try:
        tensors = load(data)
        counters = json.loads(tensors["counters"].tobytes())
        heads_adam, theta_adam, mixer_adam = (
            Adam(tensors[f"{name}.first"], tensors[f"{name}.second"], int(counters[name])) for name in _TRAINED
        )
        heads, average, theta, mixer = (tensors[name] for name in _WEIGHTS)
        trust, evidence = Trust(*(tensors[f"trust.{name}"] for name in _TRUST)), Evidence(**counters["evidence"])
        known = KnownPrompts(tensors["known.tags"])
        seen, steps = int(counters["seen"]), int(counters["steps"])
        memories = heads_adam, theta_adam, mixer_adam
        state = LearnerState(heads, average, theta, mixer, *memories, trust, evidence, known, seen, steps)
        rng: RngState = counters["rng"]
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"learner snapshot cannot be read: {error}; `ol0 snapshots delete` removes it") from None
    if (state.heads.shape, state.mixer.shape) != (like.heads.shape, like.mixer.shape):
        raise CheckpointError(
            f"learner snapshot has heads of {state.heads.shape}, the base of this lineage {like.heads.shape}: "
            "the state topic belongs to another base; give the new base a topic_prefix of its own"
        )
    return state, rng
