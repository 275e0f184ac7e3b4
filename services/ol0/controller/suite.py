"""The canary suite: trusted prompts of which the value of every choice is known, never trained on.

A prompt may have many good choices, and none of them need be perfect: a suite says what each is worth, within 0..1, and
an action is worth the product over its parts. Where only good and bad are known, the values are 1 and 0, and an action
is good where all its parts are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from ol0.controller.controller import Actions, Controller
from ol0.controller.heads import Floats
from ol0.controller.packing import pack_tensors
from ol0.errors import ConfigError
from ol0.records import Digest

KINDS = ("performance", "safety", "coherence", "regression", "drift", "memory")
OF_ANOTHER_SUITE: Final = (
    "the canary suite was changed while it waited for a serving state; the new one judges the next candidate"
)
"""Why a gate sends back who waits: it keeps no heads, so it cannot ask them about other prompts."""


@dataclass(frozen=True, slots=True)
class Suite:
    """N prompts.

    Attributes:
        digest: SHA-256 of the file; verdicts carry it.
        features: shape (N, D).
        values: of each part, what every choice is worth within 0..1, shape (N, K); its zeros are bad choices.
        kinds: index into KINDS, shape (N,).
    """

    digest: Digest
    features: Floats
    values: tuple[Floats, ...]
    kinds: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.features)

    @property
    def choices(self) -> tuple[int, ...]:
        """K of every part."""
        return tuple(values.shape[1] for values in self.values)

    @property
    def best(self) -> Floats:
        """What the best action of each prompt is worth, shape (N,)."""
        return np.asarray(np.prod([values.max(axis=1) for values in self.values], axis=0), np.float32)

    def worth(self, actions: Actions) -> Floats:
        """What these actions, shape (N, parts), are worth, shape (N,)."""
        rows = np.arange(len(self))
        taken = [values[rows, actions[:, part]] for part, values in enumerate(self.values)]
        return np.asarray(np.prod(taken, axis=0), np.float32)

    def misfit(self, controller: Controller) -> str | None:
        """Why this controller cannot be asked these prompts, in words; None where it can."""
        found, expected = (controller.dimension, controller.choices), (self.features.shape[1], self.choices)
        if found == expected:
            return None
        return (
            f"it takes {found[0]} features and has {_counts(found[1])} choices in its parts; the suite has "
            f"{expected[0]} and {_counts(expected[1])}"
        )

    def share(self, controller: Controller) -> float:
        """How much of what the best actions are worth the controller's greedy ones bring, within 0..1.

        Where every prompt has a choice of value 1 and the others have 0, it is the share of prompts that are passed.
        """
        return share_of(self.worth(controller.greedy(self.features)), self.best)


def _counts(choices: Sequence[int]) -> str:
    return ", ".join(map(str, choices))


def share_of(worth: Floats, best: Floats) -> float:
    """What actions are worth, over what the best are; both of shape (N,). 0 where none is worth anything."""
    whole = best.sum(dtype=np.float64)
    return float(worth.sum(dtype=np.float64) / whole) if whole else 0.0


def known_good(actions: Actions, choices: Sequence[int]) -> tuple[Floats, ...]:
    """Values where one good action of each prompt is known and nothing of the others: 1 and 0.

    Args:
        actions: the good ones, shape (N, parts).
        choices: K of every part.
    """
    return tuple(np.eye(count, dtype=np.float32)[actions[:, part]] for part, count in enumerate(choices))


def write_suite(path: Path, features: Floats, values: Sequence[Floats], kinds: NDArray[np.uint8]) -> None:
    """Writes a suite file: the values of the parts side by side, and how many choices each part has."""
    arrays = {
        "features": features.astype(np.float32),
        "values": np.concatenate(values, axis=1).astype(np.float32),
        "choices": np.array([part.shape[1] for part in values]),
        "kinds": kinds,
    }
    path.write_bytes(pack_tensors(arrays))


def read_suite(path: Path | None) -> Suite:
    """Opens the suite file that ``safety.suite`` names.

    Raises:
        ConfigError: none is named, the file is missing, is no suite, is of the layout that knew one good action per
            prompt, or its arrays do not fit each other.
    """
    if path is None:
        raise ConfigError("safety.suite is not set: without trusted prompts the gates cannot judge")
    try:
        data = path.read_bytes()
        arrays = load(data)
        if "actions" in arrays:
            raise ConfigError(
                f"canary suite {path} names one good action per prompt, where others may be as good: `ol0 warmup` "
                "writes one that says what every choice is worth"
            )
        choices = arrays["choices"].astype(np.intp).reshape(-1)
        suite = Suite(
            Digest(sha256(data).hexdigest()),
            arrays["features"].astype(np.float32),
            tuple(np.split(arrays["values"].astype(np.float32), np.cumsum(choices)[:-1], axis=-1)),
            arrays["kinds"].astype(np.uint8),
        )
    except OSError as error:
        raise ConfigError(f"canary suite {path}: {error.strerror}; name it in safety.suite") from None
    except (SafetensorError, KeyError, ValueError) as error:
        raise ConfigError(f"canary suite {path} is not a suite file: {error}") from None
    if not _fits(suite, choices):
        raise ConfigError(
            f"canary suite {path}: features (N, D), values (N, choices of all parts) within 0..1 and kinds (N,) do not "
            "fit, or no choice is worth anything"
        )
    return suite


def _fits(suite: Suite, choices: NDArray[np.intp]) -> bool:
    matrices = (suite.features, *suite.values)
    shaped = all(matrix.ndim == 2 and len(matrix) == len(suite.kinds) > 0 for matrix in matrices)  # noqa: PLR2004
    if not shaped or suite.choices != tuple(choices.tolist()) or min(suite.choices) < 1:
        return False
    if not np.isfinite(suite.features).all() or suite.kinds.max() >= len(KINDS):
        return False
    return all(((values >= 0) & (values <= 1)).all() for values in suite.values) and bool(suite.best.any())
