"""The canary suite: trusted prompts with known good actions, never trained on."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ol0.controller.controller import Actions, Controller
from ol0.controller.heads import Floats
from ol0.errors import ConfigError
from ol0.records import Digest

KINDS = ("performance", "safety", "coherence", "regression", "drift", "memory")


@dataclass(frozen=True, slots=True)
class Suite:
    """N prompts.

    Attributes:
        digest: SHA-256 of the file; verdicts carry it.
        features: shape (N, D).
        actions: the good action of each prompt, shape (N, parts).
        kinds: index into KINDS, shape (N,).
    """

    digest: Digest
    features: Floats
    actions: Actions
    kinds: NDArray[np.uint8]

    def passes(self, controller: Controller) -> NDArray[np.bool_]:
        """For each prompt whether the controller's greedy action is the good one, shape (N,)."""
        return np.asarray((controller.greedy(self.features) == self.actions).all(axis=1))


def write_suite(path: Path, features: Floats, actions: Actions, kinds: NDArray[np.uint8]) -> None:
    """Writes a suite file."""
    arrays = {"features": features.astype(np.float32), "actions": actions.astype(np.int64), "kinds": kinds}
    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def read_suite(path: Path | None) -> Suite:
    """Opens the suite file that ``safety.suite`` names.

    Raises:
        ConfigError: none is named, the file is missing, is no suite, or its arrays do not fit each other.
    """
    if path is None:
        raise ConfigError("safety.suite names no file: the gates judge nothing without trusted prompts")
    try:
        data = path.read_bytes()
        arrays = load(data)
        suite = Suite(
            Digest(sha256(data).hexdigest()),
            arrays["features"].astype(np.float32),
            arrays["actions"].astype(np.intp),
            arrays["kinds"].astype(np.uint8),
        )
    except OSError as error:
        raise ConfigError(f"canary suite {path}: {error.strerror}; name it in safety.suite") from None
    except (SafetensorError, KeyError) as error:
        raise ConfigError(f"canary suite {path} is not a suite file: {error}") from None
    count = len(suite.features)
    fits = suite.actions.ndim == suite.features.ndim == 2 and len(suite.actions) == len(suite.kinds) == count  # noqa: PLR2004 - matrices
    if not fits or not count or not np.isfinite(suite.features).all() or suite.kinds.max(initial=0) >= len(KINDS):
        raise ConfigError(f"canary suite {path}: features (N, D), actions (N, parts) and kinds (N,) do not fit")
    return suite
