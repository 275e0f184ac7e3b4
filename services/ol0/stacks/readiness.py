"""Whether a server that was just started can be used, asked over its own protocol.

A few bytes each, so that no client library has to be imported here, retries and logs of its own included.
"""

import contextlib
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

from ol0.errors import StackError
from ol0.stacks.ports import LOOPBACK
from ol0.supervisor.guard import GuardedProcess

PROBE_TIMEOUT_S = 2.0
LOOK_EVERY_S = 0.02
LOG_LINES = 20

# https://kafka.apache.org/protocol: Metadata (key 3), version 4: header, no topics, do not create topics.
METADATA_REQUEST = struct.pack(">hhihi?", 3, 4, 1, -1, 0, False)  # noqa: FBT003 - the wire's boolean


def kafka_answers(port: int) -> bool:
    """Whether the broker lists itself in its metadata.

    It opens its port before the controller lets it take part ("unfences" it), and until then no topic can be created:
    a fenced broker is not in the list.
    """
    with contextlib.suppress(OSError, struct.error), _connect(port) as connection:
        connection.sendall(struct.pack(">i", len(METADATA_REQUEST)) + METADATA_REQUEST)
        with connection.makefile("rb") as stream:
            (size,) = struct.unpack(">i", stream.read(4))
            _correlation, _throttle_ms, brokers = struct.unpack_from(">iii", stream.read(size))
            return bool(brokers > 0)
    return False


def valkey_answers(port: int) -> bool:
    """Whether the store answers PING; while it still loads its data it answers with an error."""
    with contextlib.suppress(OSError), _connect(port) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
    return False


def wait_ready(name: str, process: GuardedProcess, answers: Callable[[], bool], log: Path, timeout_s: float) -> None:
    """Wait until a server answers.

    Raises:
        StackError: It exited, or did not answer within ``timeout_s`` seconds. Ends with the last lines of ``log``.
    """
    deadline_s = time.monotonic() + timeout_s
    while not answers():
        exit_code = process.poll()
        if exit_code is not None:
            raise StackError(f"{name} ended with exit code {exit_code} while starting. {last_lines(log)}")
        if time.monotonic() > deadline_s:
            raise StackError(f"{name} did not answer within {timeout_s:g} s. {last_lines(log)}")
        time.sleep(LOOK_EVERY_S)


def last_lines(log: Path) -> str:
    """The end of a log, introduced by where it is: what an error message closes with."""
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:] if log.exists() else ["(no log)"]
    return "\n".join([f"The last lines of {log}:", *lines])


def _connect(port: int) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), timeout=PROBE_TIMEOUT_S)
