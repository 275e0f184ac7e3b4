"""What a torch module is made of, read without importing torch."""

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from ol0.controller.heads import Floats, softmax
from ol0.controller.operations import NORM_EPSILON
from ol0.errors import ConfigError
from ol0.operator.setup.exported import exported_network
from ol0.operator.setup.network import HEAD_ONLY, Network, network_of

ACTIVATION_OF: Final = {"ReLU": "relu", "GELU": "gelu", "SiLU": "silu", "Tanh": "tanh"}
PASSED_OVER: Final = frozenset({"Dropout", "Identity", "Flatten", "AlphaDropout"})
"""They do nothing while serving."""
ASKED: Final = 64


def built_module(place: str, tensors: Mapping[str, Floats] | None = None) -> Any:  # noqa: ANN401 - torch is not imported here
    """The module that ``package.file:name`` names: one itself, or a function without arguments that returns one.

    Args:
        place: it is imported, from the working directory or what is installed.
        tensors: its state_dict, where the function does not load it.

    Raises:
        ConfigError: it cannot be imported, is no module, or the tensors are not its own.
    """
    package, _, name = place.partition(":")
    if not (package and name):
        raise ConfigError(f"{place!r:.200} names no module: expected package.file:name, such as mypkg.router:build")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(import_module(package), name)
    except ImportError as error:
        raise ConfigError(f"{package} cannot be imported from {Path.cwd()}: {error}") from error
    except AttributeError:
        raise ConfigError(f"{package} has no {name}") from None
    finally:
        sys.path.pop(0)
    module = found if hasattr(found, "named_modules") and not isinstance(found, type) else found()
    if not hasattr(module, "named_modules"):
        raise ConfigError(f"{place} gives {type(module).__name__}, no torch module")
    if tensors is not None:
        like = next(iter(module.parameters()))
        try:
            module.load_state_dict({name: like.new_tensor(array) for name, array in tensors.items()})
        except RuntimeError as error:
            raise ConfigError(
                f"the file's tensors are not those of {place}: {' '.join(str(error).split()):.500}"
            ) from None
    return module


def network_of_module(
    module: Any,  # noqa: ANN401 - torch is not imported here
    features: int | None = None,
    *,
    as_graph: bool = False,
) -> Network:
    """The network that a module computes.

    Layers one above the other with one activation become a stack, which every version of OL0 reads. Any other forward
    becomes a graph.

    Args:
        module: an ``nn.Module`` of (n, D) to (n, K).
        features: D; None: as many as its first linear layer takes.
        as_graph: a graph is wanted, whose tensors have the names of the module's parameters.

    Raises:
        ConfigError: see ``exported_network``; or the network answers otherwise than the module.
    """
    network = None if as_graph else _stack(module)
    if network is None:
        network = exported_network(module, features or _features_of(module))
        if not _answers_alike(module, network):
            raise ConfigError(
                "the module answers otherwise than the operations of its forward: it may keep a state, or draw at "
                "random. Bring its last layers as a module of their own, and what goes into them as features"
            )
    return network


def _features_of(module: Any) -> int:  # noqa: ANN401 - see above
    for layer in module.modules():
        if type(layer).__name__ == "Linear":
            return int(layer.in_features)
    raise ConfigError(
        "the module has no linear layer that says how many features it takes: bring labelled prompts, too"
    )


def _stack(module: Any) -> Network | None:  # noqa: ANN401 - see above
    """None where the module is more than layers one above the other."""
    try:
        network = network_of(*_tensors_of(module))
    except ConfigError:
        return None
    return network if _answers_alike(module, network) else None


def _tensors_of(module: Any) -> tuple[dict[str, Floats], str]:  # noqa: ANN401 - see above
    """The tensors in the order of the layers, and the activation between them.

    Raises:
        ConfigError: it has other layers than a stack, or several activations.
    """
    tensors: dict[str, Floats] = {}
    activations: set[str] = set()
    for name, layer in module.named_modules():
        kind = type(layer).__name__
        if next(iter(layer.children()), None) is not None or kind in PASSED_OVER:
            continue
        usual = kind == "Linear" or (kind == "LayerNorm" and layer.weight is not None and layer.eps == NORM_EPSILON)
        if usual:
            named = {key: value.detach().cpu().numpy() for key, value in layer.state_dict().items()}
            tensors |= {f"{name}.{key}": np.asarray(value, np.float32) for key, value in named.items()}
        elif kind in ACTIVATION_OF and getattr(layer, "approximate", "none") == "none":
            activations.add(ACTIVATION_OF[kind])
        else:
            raise ConfigError(f"{name or 'the module'} is {layer!s:.80}")
    if len(activations) > 1:
        raise ConfigError(f"it has the activations {', '.join(sorted(activations))}")
    return tensors, activations.pop() if activations else HEAD_ONLY


def _answers_alike(module: Any, network: Network) -> bool:  # noqa: ANN401 - see above
    """Whether the network gives what the module gives of random vectors, a batch of them and one alone.

    A router that ends in a softmax gives what the softmax of its logits is.
    """
    asked = np.random.default_rng(0).normal(size=(ASKED, network.dimension)).astype(np.float32)
    like = next(iter(module.parameters()))
    training = module.training
    module.eval()
    try:
        answered = [
            module(like.new_tensor(rows.tolist())).detach().cpu().numpy().astype(np.float32)
            for rows in (asked, asked[:1])
        ]
    finally:
        module.train(training)
    head, trunk = network.above(None)
    for rows, answers in zip((asked, asked[:1]), answered, strict=True):
        logits = head.logits(rows if trunk is None else trunk(rows))
        shares = softmax(logits)
        if answers.shape != logits.shape or not any(_near(it, answers) for it in (logits, shares, np.log(shares))):
            return False
    return True


def _near(found: Floats, answers: Floats) -> bool:
    return bool(np.allclose(answers, found, rtol=1e-3, atol=1e-3 * np.abs(found).max()))
