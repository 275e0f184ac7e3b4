"""What a torch module is made of, read without importing torch."""

from typing import Any, Final

import numpy as np

from ol0.controller.heads import Floats
from ol0.controller.trunk import NORM_EPSILON
from ol0.errors import ConfigError
from ol0.operator.setup.network import HEAD_ONLY, Network

ACTIVATION_OF: Final = {"ReLU": "relu", "GELU": "gelu", "SiLU": "silu", "Tanh": "tanh"}
PASSED_OVER: Final = frozenset({"Dropout", "Identity", "Flatten", "AlphaDropout"})
"""They do nothing while serving."""
WANTED: Final = f"linear layers, layer norms and {', '.join(ACTIVATION_OF)} can be served"


def tensors_of(module: Any) -> tuple[dict[str, Floats], str]:  # noqa: ANN401 - torch is not imported here
    """The tensors in the order of the layers, and the activation between them.

    Raises:
        ConfigError: it has other layers than can be served, or several activations.
    """
    tensors: dict[str, Floats] = {}
    activations: list[str] = []
    for name, layer in module.named_modules():
        kind = type(layer).__name__
        if next(iter(layer.children()), None) is not None or kind in PASSED_OVER:
            continue
        if kind in {"Linear", "LayerNorm"}:
            _require_usual(name, kind, layer)
            named = {key: value.detach().cpu().numpy() for key, value in layer.state_dict().items()}
            tensors |= {f"{name}.{key}": np.asarray(value, np.float32) for key, value in named.items()}
        elif kind in ACTIVATION_OF and getattr(layer, "approximate", "none") == "none":
            activations.append(ACTIVATION_OF[kind])
        else:
            raise ConfigError(f"{name or 'the module'} is {layer!s:.80}; {WANTED}. Let the host compute what is below")
    if len(set(activations)) > 1:
        raise ConfigError(
            f"it has the activations {', '.join(sorted(set(activations)))}; one for all layers can be served"
        )
    return tensors, activations[0] if activations else HEAD_ONLY


def _require_usual(name: str, kind: str, layer: Any) -> None:  # noqa: ANN401 - see above
    if kind == "LayerNorm" and (layer.weight is None or layer.eps != NORM_EPSILON):
        raise ConfigError(f"{name} is {layer!s:.80}; a layer norm has weights and eps = {NORM_EPSILON:g}")


def check_answers(module: Any, network: Network) -> None:  # noqa: ANN401 - see above
    """The module answers as the network that its layers make.

    Raises:
        ConfigError: it does something else between its layers.
    """
    asked = np.random.default_rng(0).normal(size=(64, network.dimension)).astype(np.float32)
    like = next(iter(module.parameters()))
    training = module.training
    answered = module.eval()(like.new_tensor(asked.tolist())).detach().cpu().numpy().astype(np.float32)
    module.train(training)
    head, trunk = network.above(None)
    ours = head.logits(asked if trunk is None else trunk(asked))
    if answered.shape != ours.shape or not np.allclose(answered, ours, rtol=1e-3, atol=1e-3 * np.abs(ours).max()):
        raise ConfigError(
            "the module answers otherwise than its linear layers, layer norms and activations in their order: its "
            "forward does more. Bring its last layers as a module of their own, and what goes into them as features"
        )
