"""A base made out of what a team has: labelled prompts, a linear layer, or a network written in torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike

from ol0.config import OnlineLearningConfig, ServingConfig
from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.controller import Controller
from ol0.controller.suite import share_of
from ol0.controller.warmup import Anchor, base_checkpoint
from ol0.errors import CheckpointError, ConfigError
from ol0.operator.setup.base_folder import write_base
from ol0.operator.setup.base_from_labels import PART, log_anchors
from ol0.operator.setup.base_training import train_base
from ol0.operator.setup.labelled_file import Labelled
from ol0.operator.setup.module import network_of_module
from ol0.operator.setup.network import Network, Trainable, linear_network
from ol0.operator.setup.prompts import Prompts, asked_of_suite

EPSILON: Final = ServingConfig().epsilon
ANCHORS: Final = OnlineLearningConfig().anchors
SHOWN: Final = 8  # choices and kinds that a line names

Labels = tuple[ArrayLike, ArrayLike]
"""Features (n, D), and the right choice of each row (n,) or what every choice is worth (n, K)."""


@dataclass(frozen=True)
class Base:
    """A base, and what a lineage needs beside it. ``save`` writes the folder that ``ol0 warmup`` takes.

    All that make one take ``seed`` (of the split, the training and the anchors), ``epsilon`` (exploration, which must
    be ``serving.epsilon``) and ``anchors`` (how many, at most), and raise ConfigError where an array does not fit or
    the base would be too large.

    >>> features = np.eye(4, dtype=np.float32).repeat(50, axis=0)
    >>> base = Base.from_linear(np.eye(4), labels=(features, features.argmax(axis=1)))
    >>> len(base.suite), len(base.anchors), base.share
    (50, 150, 1.0)

    Attributes:
        data: bytes of the checkpoint.
        anchors: its decisions on prompts that it knows; empty without labels.
        suite: prompts whose good choices are known and that nothing is trained on; None without labels.
        names: of the choices, in their order; none without labels.
        found: what it was made from, in words, a line each.
    """

    data: bytes
    anchors: tuple[Anchor, ...] = ()
    suite: Prompts | None = None
    names: tuple[str, ...] = ()
    found: tuple[str, ...] = ()

    @property
    def controller(self) -> Controller:
        """The base, opened."""
        return read_checkpoint(self.data)

    @property
    def share(self) -> float:
        """What the base is worth on its suite, over what the best choices are: within 0..1; 0 without a suite."""
        if self.suite is None:
            return 0.0
        taken = self.controller.greedy(self.suite.features)[:, 0]
        return share_of(self.suite.success[np.arange(len(self.suite)), taken], self.suite.best)

    @classmethod
    def from_labels(
        cls,
        features: ArrayLike,
        labels: ArrayLike,
        kinds: ArrayLike | None = None,
        *,
        seed: int = 0,
        epsilon: float = EPSILON,
        anchors: int = ANCHORS,
    ) -> Self:
        """Trains a linear router.

        Args:
            features: shape (n, D).
            labels: the right choice of every prompt, text or number, shape (n,); or what every choice is worth, within
                0..1, shape (n, K).
            kinds: label of each prompt's kind, for reports, shape (n,).
            seed: see ``Base``.
            epsilon: see ``Base``.
            anchors: see ``Base``.

        Raises:
            ConfigError: an array does not fit, or holds a number that is not finite.
        """
        labelled = Labelled.of(np.asarray(features), np.asarray(labels), None if kinds is None else np.asarray(kinds))
        return cls.trained(labelled, seed=seed, epsilon=epsilon, anchors=anchors)

    @classmethod
    def trained(cls, labelled: Labelled, *, seed: int = 0, epsilon: float = EPSILON, anchors: int = ANCHORS) -> Self:
        """Trains a linear router on what ``read_labelled`` found."""
        head = train_base(kept_back(labelled.prompts, seed)[1], seed)
        return cls.of(linear_network(head.weight, head.bias), labelled, seed=seed, epsilon=epsilon, anchors=anchors)

    @classmethod
    def from_linear(
        cls,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        labels: Labels | None = None,
        *,
        seed: int = 0,
        epsilon: float = EPSILON,
        anchors: int = ANCHORS,
    ) -> Self:
        """Takes a linear router: ``coef_`` and ``intercept_`` of scikit-learn, ``weight`` and ``bias`` of torch.

        Args:
            weight: shape (K, D); (1, D), as scikit-learn has it for two classes, becomes two choices.
            bias: shape (K,); None: zeros.
            labels: prompts for the canary suite and the anchors, as ``from_labels`` takes them.
            seed: see ``Base``.
            epsilon: see ``Base``.
            anchors: see ``Base``.

        Raises:
            ConfigError: an array does not fit, or the prompts of the labels are not those of the weights.
        """
        network = linear_network(np.asarray(weight, np.float32), None if bias is None else np.asarray(bias, np.float32))
        return cls.of(network, _labelled(labels), seed=seed, epsilon=epsilon, anchors=anchors)

    @classmethod
    def from_module(
        cls,
        module: Any,  # noqa: ANN401 - torch is not imported here
        labels: Labels | None = None,
        *,
        trainable: Trainable = False,
        seed: int = 0,
        epsilon: float = EPSILON,
        anchors: int = ANCHORS,
    ) -> Self:
        """Takes a torch module, as it is.

        It may be layers one above the other, or anything that its forward makes of operations which a checkpoint can
        hold: residuals, gates, mixtures, attention. It travels as a graph of these; no code does. The last linear layer
        becomes the head, and what is below is frozen; trainable parameters are there a second time, for the learner to
        change. Random vectors are put to the module, and its answers are compared with the base's.

        Args:
            module: an ``nn.Module`` whose forward maps (n, D) to (n, K).
            labels: prompts for the canary suite and the anchors, as ``from_labels`` takes them.
            trainable: whether a copy of the hidden layers learns as well, which takes torch in the learner; or which
                parameters do, as patterns of their names, such as ``["gate.*"]``.
            seed: see ``Base``.
            epsilon: see ``Base``.
            anchors: see ``Base``.

        Raises:
            ConfigError: its forward does something that a checkpoint cannot hold, or labels do not fit.
        """
        trainable = (trainable,) if isinstance(trainable, str) else trainable
        labelled = _labelled(labels)
        features = None if labelled is None else labelled.prompts.features.shape[1]
        network = network_of_module(module, features, as_graph=not isinstance(trainable, bool))
        return cls.of(network, labelled, trainable=trainable, seed=seed, epsilon=epsilon, anchors=anchors)

    @classmethod
    def of(
        cls,
        network: Network,
        labelled: Labelled | None,
        *,
        trainable: Trainable = False,
        seed: int = 0,
        epsilon: float = EPSILON,
        anchors: int = ANCHORS,
    ) -> Self:
        """Takes a network that was put together already."""
        features = None if labelled is None else labelled.prompts.features
        if labelled is not None:
            network.check_fit(labelled.prompts.features, labelled.prompts.success)
        head, trunk = network.above(features, trainable)
        data = base_checkpoint((PART,), (head,), epsilon, trunk=trunk)
        try:
            controller = read_checkpoint(data)
        except CheckpointError as error:
            raise ConfigError(f"this router cannot be held: {error}") from error
        if labelled is None:
            return cls(data, found=tuple(network.lines(trainable)))
        suite, known = kept_back(labelled.prompts, seed)
        rng = Random(seed)  # noqa: S311 - simulated users, no secret
        rows = rng.sample(range(len(known)), min(anchors, len(known)))
        logged = log_anchors(controller, known.rows(np.array(rows, np.intp)), rng)
        found = (*network.lines(trainable), *_label_lines(labelled, len(suite), len(logged)))
        return cls(data, logged, suite, labelled.names, found)

    def save(self, folder: Path | str) -> None:
        """Writes ``base.safetensors`` and, where there were labels, the suite, the anchors and the choices' names."""
        write_base(Path(folder), self.data, self.anchors, self.suite, self.names)


def kept_back(prompts: Prompts, seed: int) -> tuple[Prompts, Prompts]:
    """The suite's prompts, a quarter at most, and those that the base may know."""
    order = np.random.default_rng(seed).permutation(len(prompts))
    held = len(prompts) // 4
    asked = min(held, asked_of_suite(prompts.rows(order[:held])))
    return prompts.rows(order[:asked]), prompts.rows(order[held:])


def _labelled(labels: Labels | None) -> Labelled | None:
    return None if labels is None else Labelled.of(np.asarray(labels[0]), np.asarray(labels[1]))


def _label_lines(labelled: Labelled, suite: int, anchors: int) -> Iterator[str]:
    prompts, names = labelled.prompts, labelled.names
    yield f"labels         {len(prompts):,} prompts of {prompts.features.shape[1]:,} features"
    yield f"choices        {len(names)}: {_some(names)}"
    if kinds := sorted(set(prompts.groups.tolist()) - {""}):
        yield f"kinds          {_some([f'{kind} {int((prompts.groups == kind).sum()):,}' for kind in kinds])}"
    yield f"suite          {suite:,} of the prompts, kept back"
    yield f"anchors        {anchors:,}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
