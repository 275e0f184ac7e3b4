"""Arrays as safetensors bytes: the one place that writes them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save  # noqa: TID251 - the one place


def pack_tensors(tensors: Mapping[str, NDArray[np.generic]], metadata: Mapping[str, str] | None = None) -> bytes:
    """Each array as it reads.

    safetensors 0.8.0 writes an array that is not contiguous as it lies in memory, under the shape of the view, without
    an error (findings/transposed-tensors.sh).
    """
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return save(contiguous, metadata=None if metadata is None else dict(metadata))
