"""The shape of an AR1 policy, inferred from its tensors: none of it is saved in the trainers' files."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Self

ATTENTION_HEADS: Final = 8  # fixed in AR1; hidden_dim is a multiple of it
PARTS: Final = ("expert", "scope", "span", "rank")
SCOPES: Final = 2  # local, global
RANKS: Final = (8, 16, 32, 64)  # the ranks that the rank part's choices mean
ACTION_NUMBERS: Final = 5  # expert, scope, span, rank, bias scale
HISTORY: Final = (10, ACTION_NUMBERS)

AUXILIARY: Final = ("retrieval", "vision", "value", "action")
"""The auxiliary features that reach the encoder: the first hidden_dim of what AR1 concatenates (ADR 7)."""

BUFFERS: Final = frozenset({"action_history", "hysteresis_count"})
ROUTER_BUFFERS: Final = frozenset({"flip_count", "step_count"})
COUNTERS: Final = frozenset({"hysteresis_count", *ROUTER_BUFFERS})

Shape = tuple[int, ...]

_LAYER: Final = re.compile(r"state_encoder\.layers\.([0-9]{1,4})\.")


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a policy's tensors agree on.

    Attributes:
        hidden: width of the encoder and of the features that it gives.
        layers: of the encoder.
        feedforward: width between the two linear maps of a layer.
        summary: numbers in a chunk summary.
        retrieval: numbers of the retrieval features.
        vision: numbers of the vision features.
        value: numbers of the value features.
        experts: choices of the expert part.
        max_span: choices of the span part.
    """

    hidden: int
    layers: int
    feedforward: int
    summary: int
    retrieval: int
    vision: int
    value: int
    experts: int
    max_span: int

    @classmethod
    def of(cls, shapes: Mapping[str, Shape]) -> Self:
        """The architecture that most tensors speak for, so that the one that does not can be named.

        Args:
            shapes: of every tensor, by AR1's names without a prefix.
        """
        layers = {int(found[1]) for name in shapes if (found := _LAYER.match(name))}
        squares = [f"state_encoder.layers.{layer}.self_attn.out_proj.weight" for layer in layers]
        hidden = _agreed(
            [_size(shapes, "chunk_proj.bias", 0), _size(shapes, "chunk_proj.weight", 0)]
            + [_size(shapes, name, 0) for name in squares]
            + [_size(shapes, f"{part}_head.weight", 1) for part in (*PARTS, "bias", "value")]
        )
        first = [f"state_encoder.layers.{layer}.linear1" for layer in layers]
        wide = [_size(shapes, f"{name}.weight", 0) for name in first] + [
            _size(shapes, f"{name}.bias", 0) for name in first
        ]
        return cls(
            hidden=hidden,
            layers=max(layers, default=-1) + 1,
            feedforward=_agreed(wide),
            summary=_agreed([_size(shapes, "chunk_proj.weight", 1)]),
            retrieval=_agreed([_size(shapes, "retrieval_proj.weight", 1)]),
            vision=_agreed([_size(shapes, "vision_proj.weight", 1)]),
            value=_agreed([_size(shapes, "value_proj.weight", 1)]),
            experts=_agreed([_size(shapes, "expert_head.weight", 0), _size(shapes, "expert_head.bias", 0)]),
            max_span=_agreed([_size(shapes, "span_head.weight", 0), _size(shapes, "span_head.bias", 0)]),
        )

    @property
    def auxiliary(self) -> int:
        """Width of each auxiliary projection: a quarter of hidden."""
        return self.hidden // len(AUXILIARY)

    @property
    def choices(self) -> tuple[int, ...]:
        """Choices of every part."""
        return self.experts, SCOPES, self.max_span, len(RANKS)

    def flaws(self) -> list[str]:
        """What no AR1 policy can be, in words."""
        if self.hidden % ATTENTION_HEADS or not self.hidden:
            return [f"hidden_dim is {self.hidden}, which is no multiple of {ATTENTION_HEADS}"]
        return [f"{name} is 0" for name in ("layers", "experts", "max_span") if not getattr(self, name)]

    def shapes(self) -> dict[str, Shape]:
        """Name and shape of every tensor of such a policy, buffers first: 62 at the default three layers."""
        hidden, quarter = self.hidden, self.auxiliary
        inputs = {"retrieval": self.retrieval, "vision": self.vision, "value": self.value, "action": ACTION_NUMBERS}
        heads = {**dict(zip(PARTS, self.choices, strict=True)), "bias": 1, "value": 1}
        return {
            "action_history": HISTORY,
            "hysteresis_count": (),
            **_linear("chunk_proj", hidden, self.summary),
            **{
                name: shape
                for kind, width in {**inputs, "pos": 1}.items()
                for name, shape in _linear(f"{kind}_proj", quarter, width).items()
            },
            **{name: shape for layer in range(self.layers) for name, shape in self._layer(layer).items()},
            **{
                name: shape
                for head, width in heads.items()
                for name, shape in _linear(f"{head}_head", width, hidden).items()
            },
        }

    def _layer(self, number: int) -> dict[str, Shape]:
        hidden, wide = self.hidden, self.feedforward
        shapes = {
            "self_attn.in_proj_weight": (3 * hidden, hidden),
            "self_attn.in_proj_bias": (3 * hidden,),
            **_linear("self_attn.out_proj", hidden, hidden),
            **_linear("linear1", wide, hidden),
            **_linear("linear2", hidden, wide),
            "norm1.weight": (hidden,),
            "norm1.bias": (hidden,),
            "norm2.weight": (hidden,),
            "norm2.bias": (hidden,),
        }
        return {f"state_encoder.layers.{number}.{name}": shape for name, shape in shapes.items()}


def _linear(name: str, outputs: int, inputs: int) -> dict[str, Shape]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _size(shapes: Mapping[str, Shape], name: str, axis: int) -> int | None:
    shape = shapes.get(name, ())
    return shape[axis] if len(shape) > axis else None


def _agreed(sizes: Iterable[int | None]) -> int:
    """The most frequent size, the first of equals; 0 where no tensor says any."""
    counts = Counter(size for size in sizes if size is not None)
    return counts.most_common(1)[0][0] if counts else 0
