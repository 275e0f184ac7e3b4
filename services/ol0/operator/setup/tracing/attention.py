"""``nn.MultiheadAttention`` while it is traced: the same sums, with the prompts' axis in the first place throughout."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

Tensor = Any  # torch is imported where a module is brought


@contextmanager
def prompts_first() -> Iterator[None]:
    """While it lasts, attention with ``batch_first`` and without masks keeps the prompts' axis where it is.

    torch's own forward puts the tokens first and joins prompts and heads to one axis. Whoever uses such a layer
    meanwhile, in another thread, gets the same answers.
    """
    import torch  # noqa: PLC0415 - an extra; whoever has a module has it

    layer = torch.nn.MultiheadAttention
    usual = layer.forward

    def forward(  # noqa: PLR0913, PLR0917 - torch's own arguments
        self: Any,  # noqa: ANN401
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor = None,
        need_weights: bool = True,  # noqa: FBT001, FBT002
        attn_mask: Tensor = None,
        average_attn_weights: bool = True,  # noqa: FBT001, FBT002
        is_causal: bool = False,  # noqa: FBT001, FBT002
    ) -> tuple[Tensor, Tensor]:
        masked = key_padding_mask is not None or attn_mask is not None
        extended = self.bias_k is not None or self.add_zero_attn
        if masked or extended or not self.batch_first or query.dim() != 3:  # noqa: PLR2004 - prompts, tokens, features
            rest = key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal
            return cast("tuple[Tensor, Tensor]", usual(self, query, key, value, *rest))
        query, key, value = (
            it.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
            for it in _projected(self, query, key, value)
        )
        shares = (query @ key.transpose(-1, -2) * self.head_dim**-0.5).softmax(-1)
        found = self.out_proj((shares @ value).transpose(1, 2).flatten(2))
        if not need_weights:
            return found, None
        return found, shares.mean(1) if average_attn_weights else shares

    layer.forward = forward
    try:
        yield
    finally:
        layer.forward = usual


def _projected(layer: Any, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:  # noqa: ANN401
    from torch.nn.functional import linear  # noqa: PLC0415 - as above

    if query is key and key is value and layer.in_proj_weight is not None:
        return list(linear(query, layer.in_proj_weight, layer.in_proj_bias).chunk(3, dim=-1))
    weights = (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight)
    weights = weights if layer.in_proj_weight is None else layer.in_proj_weight.chunk(3)
    biases = (None, None, None) if layer.in_proj_bias is None else layer.in_proj_bias.chunk(3)
    return [linear(*it) for it in zip((query, key, value), weights, biases, strict=True)]
