"""A torch module with layers of many kinds, and what it and a base made of it answer."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from ol0 import Base
from ol0.controller.heads import Floats

D, K = 12, 5
ASKED = np.random.default_rng(0).normal(size=(200, D)).astype(np.float32)


class Module(nn.Module):  # type: ignore[misc] # lint has no torch
    """Layers that every forward below may use."""

    def __init__(self, forward: Callable[["Module", torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.up, self.down, self.gate = nn.Linear(D, 16), nn.Linear(16, D), nn.Linear(D, 3)
        self.head, self.last = nn.Linear(D, K), nn.Linear(16, K)
        self.norm, self.wide = nn.LayerNorm(16, eps=1e-3), nn.Linear(4, 12)
        self.batch, self.rms, self.drop = nn.BatchNorm1d(16), nn.RMSNorm(D), nn.Dropout(0.5)
        self.rms_of_two = nn.RMSNorm((3, 4))
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.of_sizes = nn.MultiheadAttention(4, 2, kdim=6, vdim=6, bias=False, batch_first=True)
        layer = nn.TransformerEncoderLayer(4, 2, 8, activation="gelu", norm_first=True, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.of_eight, self.points = nn.Linear(8, K), nn.Parameter(torch.randn(K, D))
        self.register_buffer("count", torch.zeros(()))
        self.table, self.token = nn.Parameter(torch.randn(3, K)), nn.Parameter(torch.randn(1, 1, 4))
        self.temperature = nn.Parameter(torch.tensor(1.7))
        self.batch.running_mean, self.batch.running_var = torch.randn(16), torch.rand(16) + 0.5
        self._forward = forward

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self._forward(self, features)


def answers(base: Base) -> Floats:
    heads = base.controller
    return heads.base[0].logits(heads.inputs(ASKED))


def asked(module: nn.Module) -> Floats:
    with torch.no_grad():
        return np.asarray(module.eval()(torch.from_numpy(ASKED)).numpy())
