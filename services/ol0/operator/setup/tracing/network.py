"""The network that a module's forward computes."""

from typing import Any

from ol0.errors import ConfigError
from ol0.operator.setup.network import Network
from ol0.operator.setup.tracing.arithmetic import ARITHMETIC
from ol0.operator.setup.tracing.attention import prompts_first
from ol0.operator.setup.tracing.exporter import WAY_OUT, Exporter
from ol0.operator.setup.tracing.shapes import SHAPES


def exported_network(module: Any, features: int) -> Network:  # noqa: ANN401 - torch is not imported at the top
    """The network that a module's forward computes.

    Args:
        module: an ``nn.Module`` of float32, in evaluation mode, of (n, D) to (n, K).
        features: D.

    Raises:
        ConfigError: its forward cannot be traced, or does something that a checkpoint cannot hold; names the operation
            and the line of the forward.
    """
    import torch  # noqa: PLC0415 - an extra; whoever has a module has it

    rows = torch.export.Dim("prompts", min=2)
    try:
        with prompts_first():
            traced = torch.export.export(module, (torch.zeros(3, features),), dynamic_shapes=({0: rows},), strict=False)
        traced = traced.run_decompositions({})  # nothing is changed in place any more, and dropout is gone
    except Exception as error:  # torch raises errors of many kinds, its own and the forward's
        raise ConfigError(
            f"the module's forward cannot be traced with {features} features: {_why(error)}. {WAY_OUT}"
        ) from error
    exporter = Exporter(traced, features, {**ARITHMETIC, **SHAPES})
    try:
        return exporter.network(_names_by_tensor(module))
    except ValueError as error:
        raise ConfigError(f"what the module's forward does cannot be held: {error}. {WAY_OUT}") from error


def _why(error: Exception) -> str:
    text = str(error).strip()
    if "specialized it to be a constant" in text:
        return "it asks how many prompts there are as a plain number, as len(x) does; x.shape[0] can be traced"
    return (
        f"{text.splitlines()[0] if text else type(error).__name__:.300}. If it takes another number of features, bring "
        "labelled prompts, too"
    )


def _names_by_tensor(module: Any) -> dict[str, tuple[str, ...]]:  # noqa: ANN401
    """All names of each parameter or buffer, by the one that torch traces it under: tied ones have several."""
    by_id: dict[int, list[str]] = {}
    for kind in (module.named_parameters, module.named_buffers):
        for name, tensor in kind(remove_duplicate=False):
            by_id.setdefault(id(tensor), []).append(name)
    return {name: tuple(names) for names in by_id.values() for name in names}
