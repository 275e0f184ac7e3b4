"""Float matrices through a pipe: a line with a word, a number and the shape, then the bytes."""

from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]


def put(stream: BinaryIO, word: str, number: float, matrix: Matrix) -> None:
    """Sends one, shape (n, m)."""
    rows, columns = matrix.shape
    stream.write(f"{word} {number!r} {rows} {columns}\n".encode() + np.ascontiguousarray(matrix, "<f4").tobytes())
    stream.flush()


def get(stream: BinaryIO) -> tuple[str, float, Matrix]:
    """Waits for one.

    Raises:
        EOFError: the other side has ended.
    """
    head = stream.readline().split()
    if not head:
        raise EOFError("the other side has ended")
    rows, columns = int(head[2]), int(head[3])
    data = stream.read(4 * rows * columns)
    return head[0].decode(), float(head[1]), np.frombuffer(data, "<f4").reshape(rows, columns)
