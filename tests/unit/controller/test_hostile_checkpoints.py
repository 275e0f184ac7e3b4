import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

from ol0.controller import checkpoint
from ol0.controller.checkpoint import read_checkpoint, write_checkpoint
from ol0.controller.controller import Manifest
from ol0.controller.heads import Head, Mixer
from ol0.errors import CheckpointError
from support.hostile import hostile_files

D, K = 6, 4
HEAD = Head(np.eye(K, D, dtype=np.float32), np.zeros(K, np.float32))
GOOD = write_checkpoint(Manifest(None, None, 0, ("expert",), 0.1), (HEAD,), (HEAD,), Mixer.closed(D))
FILES = hostile_files(GOOD)
MEMORY_BYTES = 16 * 2**20


def test_what_the_corpus_is_made_from_is_good() -> None:
    assert read_checkpoint(GOOD).choices == (K,)


@pytest.mark.parametrize("flaw", FILES)
def test_a_hostile_file_is_refused_by_its_flaw_before_a_tensor_is_used(
    flaw: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, complaint = FILES[flaw]
    loaded = []

    def load(data: bytes) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        loaded.append(data)
        return safetensors.numpy.load(data)

    monkeypatch.setattr(checkpoint, "load", load)
    monkeypatch.setattr(checkpoint, "_assemble", lambda *_: pytest.fail("a tensor was used"))
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=complaint):
            read_checkpoint(data)
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES
    finally:
        tracemalloc.stop()
    # Only what is within a tensor needs the tensor to be seen.
    assert bool(loaded) == (flaw in {"NaN in a tensor", "infinity in a tensor"})
