import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load

from ol0.controller.checkpoint import read_checkpoint, write_checkpoint
from ol0.controller.controller import Manifest
from ol0.controller.heads import Head, Mixer
from ol0.controller.packing import pack_tensors

MATRIX = np.arange(12.0, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize(
    "array",
    [MATRIX, MATRIX.T, np.asfortranarray(MATRIX), MATRIX[:, ::2], MATRIX[:, 1:3], MATRIX[::2]],
    ids=["as it is", "transposed", "in Fortran order", "every second column", "two columns", "every second row"],
)
def test_an_array_is_packed_as_it_reads(array: NDArray[np.float32]) -> None:
    np.testing.assert_array_equal(load(pack_tensors({"array": array}))["array"], array)


def test_heads_that_somebody_transposed_come_back_as_they_were() -> None:
    head = Head(MATRIX.T, np.zeros(4, np.float32))
    manifest = Manifest(None, None, 0, ("expert",), 0.1)
    read = read_checkpoint(write_checkpoint(manifest, (head,), (head,), Mixer.closed(3)))
    np.testing.assert_array_equal(read.base[0].weight, MATRIX.T)
    np.testing.assert_array_equal(read.learnt[0].weight, MATRIX.T)
