"""Training of hidden layers by Adam, between two refits of the heads above them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ol0.config import OnlineLearningConfig
from ol0.controller.controller import Controller
from ol0.controller.heads import Doubles, Floats, Head
from ol0.controller.trunk import Trunk
from ol0.errors import ConfigError
from ol0.learning.batch import Batch, join
from ol0.learning.tuning.fisher import hidden_fisher
from ol0.learning.tuning.network import tensors_of, weights_of
from ol0.learning.tuning.objective import Examples, Objective, ValueHead
from ol0.learning.values.scales import Scales

BATCH: Final = 256
MOST_ANCHORS: Final = 1_000
"""Of which the Fisher information is taken: its error falls with their root."""


class TorchTuner:
    """Trains hidden layers, between two refits. The same arguments give the same layers.

    Layers and copies of the heads are trained together; the copies are thrown away.

    What is learnt above the layers is the closed form's business: it refits the heads on what the trained layers give,
    with variances, so that a layer that learnt nonsense is shrunk away like any other feature.

    References:
        Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 114(13), 2017.
    """

    def __init__(self, base: Controller, logged: Batch, config: OnlineLearningConfig) -> None:
        """At the base.

        Args:
            base: with a trunk that is tuned.
            logged: anchors, as the base's heads see them.
            config: rate, steps, strengths and device.

        Raises:
            ConfigError: the device is not there.
        """
        assert base.trunk is not None
        self._trunk, self._config, self._logged = base.trunk, config, logged
        self._device = device_of(config.device)
        self._base = weights_of(base.trunk.tensors, self._device)
        some = np.linspace(0, len(logged) - 1, min(MOST_ANCHORS, len(logged))).astype(int)
        features = self._on_device(logged.features[some])[:, base.trunk.beside]
        form = base.trunk.form
        self._fisher = hidden_fisher(self._base, form.trainable, form, base.base, features)

    @property
    def trunk(self) -> Trunk:
        """The base's, tuned to what it is."""
        return self._trunk

    def tune(self, before: Trunk, heads: Sequence[tuple[Head, Scales]], live: Batch, weights: Doubles) -> Trunk:
        """The trunk after one more round of training.

        Args:
            before: where the last round ended.
            heads: of the last refit, one per part, whose logits are values; and its scales.
            live: every example that may be drawn, as the base's heads see them.
            weights: what each of them counts, shape (n,).
        """
        config, form = self._config, self._trunk.form
        own = np.full(len(self._logged), config.anchor_weight)
        examples, length = self._examples(join(live, self._logged), np.concatenate([weights, own]))
        start = weights_of(before.tuned, self._device)
        count = float(examples.weights.sum())
        objective = Objective(
            form, length, count, self._base, self._fisher, start, config.ewc_lambda, config.proximal_mu
        )
        trained = {name: tensor.clone().requires_grad_() for name, tensor in start.items()}
        above = tuple(self._value_head(head, scales, length) for head, scales in heads)
        moved = [*trained.values(), *(it for head in above for it in (head.shared, head.own, head.offset))]
        adam = torch.optim.Adam(moved, config.tuning_rate)
        generator = torch.Generator().manual_seed(len(live))
        for _ in range(config.tuning_steps):
            rows = torch.randint(len(examples.rewards), (BATCH,), generator=generator).to(self._device)
            loss = torch.stack([*objective.terms(trained, above, examples.take(rows)).values()]).sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
        return replace(before, tuned=tensors_of(trained))

    def _examples(self, batch: Batch, weights: Doubles) -> tuple[Examples, float]:
        inputs = self._on_device(batch.features)
        length = float(inputs.square().sum(dim=1).mean().sqrt()) or 1.0
        kept, features = inputs[:, self._trunk.kept], inputs[:, self._trunk.beside]
        actions = torch.from_numpy(batch.actions).to(self._device)
        rewards, counts = self._on_device(batch.rewards), self._on_device(weights.astype(np.float32))
        return Examples(kept, features, actions, rewards, counts), length

    def _value_head(self, head: Head, scales: Scales, length: float) -> ValueHead:
        """A head whose logits are values, split into what all choices share and what each has of its own."""
        weight, bias = self._on_device(head.weight) * length, self._on_device(head.bias)
        shared = weight.mean(dim=0)
        shared, own, offset = (it.clone().requires_grad_() for it in (shared, weight - shared, bias))
        return ValueHead(shared, own, offset, scales)

    def _on_device(self, array: Floats) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def device_of(name: str) -> torch.device:
    """The device that ``online_learning.device`` names.

    Raises:
        ConfigError: it is not there.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ConfigError(
            "online_learning.device is cuda, and torch finds none: install a torch that is built for this machine's "
            "GPU, or set it to cpu or auto"
        )
    return torch.device("cuda" if there and name != "cpu" else "cpu")
