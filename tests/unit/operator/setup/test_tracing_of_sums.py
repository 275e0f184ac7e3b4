"""Attention of torch's own and sums by letters, as graphs."""

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

from ol0 import Base
from ol0.errors import ConfigError
from ol0.operator.setup.module import network_of_module
from support.modules import ASKED, D, K, Module, answers, asked

FORWARDS: dict[str, Callable[[Module, torch.Tensor], torch.Tensor]] = {
    "torch's own attention": lambda it, x: it.head(it.attention(*[x.view(-1, 3, 4)] * 3)[0].flatten(1)),
    "its weights": lambda it, x: it.head((it.attention(*[x.view(-1, 3, 4)] * 3)[1] @ x.view(-1, 3, 4)).flatten(1)),
    "attention to other tokens": lambda it, x: it.head(
        it.attention(x.view(-1, 3, 4), *[x.view(-1, 3, 4).tanh()] * 2, need_weights=False)[0].flatten(1)
    ),
    "attention to tokens of another size": lambda it, x: it.head(
        it.of_sizes(x.view(-1, 3, 4), *[x.view(-1, 2, 6)] * 2)[0].flatten(1)
    ),
    "a transformer": lambda it, x: it.head(it.encoder(x.view(-1, 3, 4)).flatten(1)),
    "sums by letters": lambda it, x: torch.einsum("nd,kd->nk", x, it.points),
    "sums whose output is not named": lambda it, x: torch.einsum("a d, kd", x.tanh(), it.points),
    "a parameter first": lambda it, x: torch.einsum("kd,nd->nk", it.points, x.tanh()),
    "sums of two that prompts have": lambda it, x: it.head(
        torch.einsum("nij,nik->nkj", x.view(-1, 3, 4), x.view(-1, 3, 4).tanh()[..., :3]).flatten(1)
    ),
    "letters that stay": lambda it, x: it.head(
        torch.einsum("nhi,nhj->nhij", x.view(-1, 2, 6)[:, :, :3], x.view(-1, 2, 6)[:, :, 3:5]).flatten(1)
    ),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_a_base_answers_as_its_module_does(name: str) -> None:
    module = Module(FORWARDS[name])
    base = Base.from_module(module, (ASKED, np.arange(len(ASKED)) % K))
    np.testing.assert_allclose(answers(base), asked(module), rtol=1e-4, atol=1e-5)
    for row in (0, 7):
        np.testing.assert_array_equal(base.controller.inputs(ASKED[row]), base.controller.inputs(ASKED)[row])


def masked_attention(it: Module, tokens: torch.Tensor) -> torch.Tensor:
    mask = torch.ones(3, 3, dtype=torch.bool).triu(1)
    return it.head(it.attention(tokens, tokens, tokens, attn_mask=mask, need_weights=False)[0].flatten(1))


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        (lambda _, x: torch.einsum("nd,md->nm", x, x), "einsum, at .* would mix prompts"),
        (lambda it, x: torch.einsum("nd,dn->nd", x, it.points.new_ones(D, 3)), "cannot be traced|would mix prompts"),
        (lambda it, x: it.last(torch.einsum("nd,hd->hn", x, it.up.weight).T), "would mix prompts"),
        (lambda it, x: torch.einsum("nd,k->nk", x, it.head.bias), "sums over a letter that one of the values alone"),
        (lambda _, x: torch.einsum("nii->ni", x.view(-1, 3, 4)[..., :3]), "is no sum over letters of two values"),
        (lambda it, x: x @ torch.einsum("kd,dh->kh", it.points, it.down.weight)[:, :D].T, "is of parameters alone"),
        (lambda it, x: masked_attention(it, x.view(-1, 3, 4)), "is none that a checkpoint can hold"),
    ],
)
def test_what_cannot_be_held_is_refused_by_name(
    forward: Callable[[Module, torch.Tensor], torch.Tensor], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        network_of_module(Module(forward), D)


def test_a_frozen_transformer_is_traced_as_one_that_learns() -> None:
    module = Module(FORWARDS["a transformer"])
    for parameter in module.parameters():
        parameter.requires_grad = False  # torch has a faster way then
    base = Base.from_module(module, (ASKED, np.arange(len(ASKED)) % K))
    np.testing.assert_allclose(answers(base), asked(module), rtol=1e-4, atol=1e-5)


def test_torch_has_its_own_attention_back_whatever_became_of_the_tracing() -> None:
    before = nn.MultiheadAttention.forward
    for forward in (FORWARDS["torch's own attention"], lambda it, x: it.nothing(x)):
        with suppress(ConfigError):
            network_of_module(Module(forward), D)
        assert nn.MultiheadAttention.forward is before
