"""A torch module as a network: a stack where it is one, a graph otherwise. torch is imported when there is a module."""

import copy
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from ol0.controller.heads import Floats
from ol0.controller.operations import NORM_EPSILON
from ol0.errors import ConfigError
from ol0.operator.setup.network import HEAD_ONLY, Network, network_of
from ol0.operator.setup.tracing.network import exported_network

ACTIVATION_OF: Final = {"ReLU": "relu", "GELU": "gelu", "SiLU": "silu", "Tanh": "tanh"}
PASSED_OVER: Final = frozenset({"Dropout", "Identity", "Flatten", "AlphaDropout"})
"""They do nothing while serving."""
ASKED: Final = 64


def built_module(place: str, tensors: Mapping[str, Floats] | None = None) -> Any:  # noqa: ANN401 - torch is imported late
    """The module that ``package.file:name`` names: one itself, or a function without arguments that returns one.

    Args:
        place: it is imported, from the working directory or what is installed.
        tensors: its state_dict, where the function does not load it.

    Raises:
        ConfigError: it cannot be imported or built, is no module, or the tensors are not its own.
    """
    import torch  # noqa: PLC0415 - an extra; whoever has a module has it

    package, _, name = place.partition(":")
    if not (all(part.isidentifier() for part in package.split(".")) and name):
        raise ConfigError(f"{place!r:.200} names no module: expected package.file:name, such as mypkg.router:build")
    sys.path.insert(0, str(Path.cwd()))
    try:
        imported = import_module(package)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{package} cannot be imported from {Path.cwd()}: {_said(error)}") from error
    finally:
        sys.path.pop(0)
    if (found := getattr(imported, name, None)) is None:
        raise ConfigError(f"{package} has no {name}")
    try:
        module = found if isinstance(found, torch.nn.Module) else found()
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{place} cannot be called without arguments: {_said(error)}") from error
    if not isinstance(module, torch.nn.Module):
        raise ConfigError(f"{place} gives {type(module).__name__}, no torch module")
    if tensors is not None:
        try:
            module.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
        except RuntimeError as error:
            raise ConfigError(f"the file's tensors are not those of {place}: {_said(error)}") from None
    return module


def _said(error: BaseException) -> str:
    """In one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split()):.500}"


def network_of_module(module: Any, features: int | None = None, *, as_graph: bool = False) -> Network:  # noqa: ANN401
    """The network that a module computes.

    Layers one above the other with one activation become a stack, which every version of OL0 reads. Any other forward
    becomes a graph. The module itself is not changed: all is done on a copy, in float32 and in evaluation mode.

    Args:
        module: an ``nn.Module`` of (n, D) to (n, K).
        features: D; None: as many as its first linear layer takes.
        as_graph: a graph is wanted, whose tensors have the names of the module's parameters.

    Raises:
        ConfigError: see ``exported_network``; or the network answers otherwise than the module.
    """
    module = _copied(module)
    features = features or _features_of(module)
    network = None if as_graph else _stack(module, features)
    if network is None:
        network = exported_network(module, features)
        if not _answers_alike(module, network):
            raise ConfigError(
                "the module answers otherwise than the operations of its forward: it may keep a state, draw at random, "
                "or give numbers that are not finite. Bring its last layers as a module of their own, and what goes "
                "into them as features"
            )
    return network


def _copied(module: Any) -> Any:  # noqa: ANN401
    """A copy that may be changed, without what compiling and spreading over devices have wrapped around it."""
    if type(module).__name__ in {"DataParallel", "DistributedDataParallel"}:
        module = module.module
    module = getattr(module, "_orig_mod", module)
    try:
        return copy.deepcopy(module).cpu().float().eval()
    except Exception as error:
        raise ConfigError(
            f"the module cannot be copied ({_said(error)}): bring one that copy.deepcopy takes"
        ) from error


def _features_of(module: Any) -> int:  # noqa: ANN401 - see above
    for layer in module.modules():
        if type(layer).__name__ == "Linear":
            return int(layer.in_features)
    raise ConfigError(
        "the module has no linear layer that says how many features it takes: bring labelled prompts, too"
    )


def _stack(module: Any, features: int) -> Network | None:  # noqa: ANN401
    """None where the module is more than layers one above the other."""
    try:
        network = network_of(*_tensors_of(module))
    except ConfigError:
        return None
    return network if network.dimension == features and _answers_alike(module, network) else None


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


def _answers_alike(module: Any, network: Network) -> bool:  # noqa: ANN401
    """Whether the network gives what the module gives of random vectors, a batch of them and one alone.

    A router that ends in a softmax gives what the softmax of its logits is. Each choice is compared by itself: one that
    is never taken, at -1e9, says nothing of the others.
    """
    with np.errstate(all="ignore"):  # what is not finite is like nothing
        return _compared(module, network)


def _compared(module: Any, network: Network) -> bool:  # noqa: ANN401
    import torch  # noqa: PLC0415 - see above

    asked = np.random.default_rng(0).normal(size=(ASKED, network.dimension)).astype(np.float32)
    head, trunk = network.above(None)
    for rows in (asked, asked[:1]):
        logits = head.logits(rows if trunk is None else trunk(rows))
        try:
            with torch.no_grad():
                answers = module(torch.from_numpy(rows)).numpy()
        except Exception:  # noqa: BLE001 - of the module's own code; tracing says what is wrong
            return False
        if answers.shape != logits.shape:
            return False
        logs = logits - np.log(np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True))
        logs -= logits.max(axis=1, keepdims=True)
        if not any(_near(it, answers) for it in (logits, logs, np.exp(logs))):
            return False
    return True


def _near(found: Floats, answers: Floats) -> bool:
    """Within a thousandth of what each choice differs by between prompts; at least of what float32 can tell."""
    spread = np.ptp(answers, axis=0) if len(answers) > 1 else np.abs(answers)[0]
    return bool((np.abs(found - answers) <= 1e-3 * spread + 1e-5 * np.abs(answers) + 1e-6).all())
