"""Finds the policy's tensors in a checkpoint, in every layout that AR1's and AR0's trainers write.

============================  ==========================================  ================
written by                    weights under                               prefix
============================  ==========================================  ================
PGTrainer (AR1)               router_state_dict                           macro_policy.
BCTrainer (AR0)               policy_state_dict                           none
train_agentic_router          router_state_dict and policy_state_dict     both
training/train.py             nothing: the file is the state_dict         none
AR1's own warm-up             model_state_dict, beside fisher_matrix      none
Router.state_dict, saved bare nothing: the file is the state_dict         macro_policy.
============================  ==========================================  ================

Under ``model_state_dict``, ``state_dict`` and ``model``, which AR1's own warm-up reads, either form is accepted; so is
the file that this warm-up writes, whose Fisher information is not used. Names may have ``module.`` and ``_orig_mod.``
in them, as those of a policy that DataParallel, DistributedDataParallel or torch.compile has wrapped, whole or in part.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ol0.ar1.architecture import ROUTER_BUFFERS
from ol0.ar1.tensors import PickledTensor, Value
from ol0.errors import CheckpointError

PREFIX: Final = "macro_policy."
CONTAINERS: Final = ("router_state_dict", "policy_state_dict", "model_state_dict", "state_dict", "model")
"""In the order in which AR1's readers look."""

WRAPPERS: Final = ("module", "_orig_mod")
"""What DataParallel and torch.compile put into the names of what they wrap; no part of an AR1 policy is called so."""

FISHER: Final = "fisher_matrix"
UNUSED_TENSORS: Final = frozenset(
    {"policy_optimizer_state_dict", "optimizer_state_dict", "scheduler_state_dict", FISHER}
)
FIGURES: Final = frozenset(
    {"step", "episode", "epoch", "config", "kl_target", "clip_ratio", "best_eval_loss", "training_results"}
    | {"warmup_metrics", "warmup_config", "warmup_timestamp", "phase"}
)


@dataclass(frozen=True, slots=True)
class Weights:
    """One state_dict of a policy.

    Attributes:
        place: its key in the file, or "the file itself".
        prefixed: whether its names began with ``macro_policy.``.
        wrappers: those of ``WRAPPERS`` that its names contained.
        tensors: by AR1's names without the prefix.
        router: the router's own counters.
    """

    place: str
    prefixed: bool
    wrappers: tuple[str, ...]
    tensors: Mapping[str, PickledTensor]
    router: Mapping[str, PickledTensor]


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file holds.

    Attributes:
        name: of the layout, in words.
        weights: every state_dict in the file; the first one is the policy, as for AR1's readers.
        unused: all other keys, with the number of tensors under each.
    """

    name: str
    weights: tuple[Weights, ...]
    unused: Mapping[str, int]


def find_layout(content: Value) -> Layout:
    """Finds the policy.

    Raises:
        CheckpointError: there is no policy, or the file has unknown tensors; names them.
    """
    if not isinstance(content, dict):
        raise CheckpointError(
            "it holds no dictionary: an AR1 checkpoint is a state_dict or a dictionary that holds one"
        )
    places = [key for key in CONTAINERS if key in content]
    if not places:
        weights = _weights("the file itself", content)
        return Layout(f"bare state_dict{_suffix(weights)}", (weights,), {})
    found = tuple(_weights(place, content[place]) for place in places)
    unused = {str(key): _count_tensors(value) for key, value in content.items() if key not in places}
    strangers = [key for key, count in unused.items() if count and key not in UNUSED_TENSORS]
    if strangers:
        raise CheckpointError(f"tensors that belong to no AR1 policy are under {', '.join(sorted(strangers))}")
    return Layout(_name(content, found), found, unused)


def unknown_keys(layout: Layout) -> list[str]:
    """Returns the keys without tensors that no trainer of AR1 writes."""
    return sorted(layout.unused.keys() - UNUSED_TENSORS - FIGURES)


def _name(content: Mapping[str | int, Value], found: tuple[Weights, ...]) -> str:
    match [one.place for one in found]:
        case ["router_state_dict"]:
            writer = "PGTrainer"
        case ["policy_state_dict"]:
            writer = "BCTrainer"
        case ["router_state_dict", "policy_state_dict"] if "training_results" in content:
            writer = "train_agentic_router"
        case ["model_state_dict"] if FISHER in content:
            writer = "AR1's own warm-up"
        case _:
            writer = "state_dict in a dictionary"
    return f"{writer}: {', '.join(one.place + _suffix(one) for one in found)}"


def _suffix(weights: Weights) -> str:
    prefix = f" with {PREFIX}" if weights.prefixed else ""
    wrapped = f" wrapped in {' and '.join(f'{name}.' for name in weights.wrappers)}" if weights.wrappers else ""
    return prefix + wrapped


def _weights(place: str, content: Value) -> Weights:
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{place} is no state_dict")
    strangers = sorted(str(key)[:80] for key, value in content.items() if not isinstance(value, PickledTensor))
    if strangers:
        raise CheckpointError(f"{place} holds entries that are not tensors: {', '.join(strangers[:20])}")
    wrapped = {str(key): value for key, value in content.items() if isinstance(value, PickledTensor)}
    tensors, wrappers = _unwrapped(place, wrapped)
    prefixed = any(name.startswith(PREFIX) for name in tensors)
    if not prefixed:
        return Weights(place, prefixed, wrappers, tensors, {})
    router = {name: tensor for name, tensor in tensors.items() if name in ROUTER_BUFFERS}
    strangers = sorted(name for name in tensors.keys() - router.keys() if not name.startswith(PREFIX))
    if strangers:
        raise CheckpointError(f"{place} holds tensors of no AR1 policy: {', '.join(strangers)}")
    policy = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items() if name not in router}
    return Weights(place, prefixed, wrappers, policy, router)


def _unwrapped(place: str, wrapped: Mapping[str, PickledTensor]) -> tuple[dict[str, PickledTensor], tuple[str, ...]]:
    """Returns the tensors by their names without wrappers, and the wrappers that were found."""
    tensors: dict[str, PickledTensor] = {}
    found: set[str] = set()
    for name, tensor in wrapped.items():
        words = name.split(".")
        plain = ".".join(word for word in words if word not in WRAPPERS)
        if plain in tensors:
            raise CheckpointError(
                f"{place} holds {plain[:80]} twice: with {' and '.join(WRAPPERS)} before it, and not so"
            )
        tensors[plain] = tensor
        found.update(words)
    return tensors, tuple(name for name in WRAPPERS if name in found)


def _count_tensors(value: Value) -> int:
    return sum(isinstance(one, PickledTensor) for one in _walk(value))


def _walk(value: Value) -> Iterator[Value]:
    """Yields every value inside, once each: a pickle may contain a value many times, also inside itself."""
    waiting, seen = [value], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, tuple | list):
            waiting.extend(one)
