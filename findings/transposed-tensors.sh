#!/usr/bin/env bash
# safetensors 0.8.0 writes a transposed numpy array in the wrong order, without an error.
#
# One would guess: safetensors.numpy.save() writes any numpy array so that load() gives it back, or refuses it, as
#   safetensors.torch.save() refuses a tensor that is not contiguous.
# What happens: of an array that is not C-contiguous (a transposed matrix, one in Fortran order, every second column) the
#   bytes are written as they lie in memory, under the shape of the view. load() gives other numbers in the right shape
#   and dtype. Weights of a linear layer that somebody transposed before saving are scrambled, and nothing says so.
#   Version 0.7.0 wrote the same arrays as they are.
# What to do: save({name: np.ascontiguousarray(array) ...}), or read back and compare before the original is thrown away.
#   A file that was written so can be repaired only by who knows the layout that the array had.
#
# Run: bash transposed-tensors.sh   (bash, Python 3.11 to 3.13, a network; exit code 0 while it is so)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/shown.py" <<'PYTHON'
import sys

import numpy as np
import safetensors
from safetensors.numpy import load, save

wrong = sys.argv[1] == "wrong"
matrix = np.arange(6.0).reshape(2, 3)
views = {
    "transposed": matrix.T,
    "in Fortran order": np.asfortranarray(matrix),
    "every second column": np.arange(12.0).reshape(3, 4)[:, ::2],
}
print(f"safetensors {safetensors.__version__}")
for name, array in views.items():
    read = load(save({"array": array}))["array"]
    assert (read.shape, read.dtype) == (array.shape, array.dtype)
    differs = not np.array_equal(read, array)
    so = differs == wrong
    print("as written:" if so else "CHANGED, this no longer holds:", f"{name}: {array.tolist()} is read as {read.tolist()}")
    if not so:
        sys.exit(1)
    copied = load(save({"array": np.ascontiguousarray(array)}))["array"]
    if not np.array_equal(copied, array):
        sys.exit(f"CHANGED, this no longer holds: a contiguous copy of it ({name}) comes back as it was")
print("as written: contiguous copies of all three come back as they were")
PYTHON
for pair in 0.8.0:wrong 0.7.0:right; do
    python3 -m venv --clear "$folder/venv"
    "$folder/venv/bin/python" -m pip install --quiet "safetensors==${pair%:*}" numpy==2.3.5
    "$folder/venv/bin/python" "$folder/shown.py" "${pair#*:}"
done
