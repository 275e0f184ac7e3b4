import random
import socket

from ol0.errors import StackError

LOOPBACK = "127.0.0.1"

# Below the range from which kernels give ports to clients (Linux: from 32768, macOS: from 49152). A server's port out
# of that range could be taken while the server restarts, by any client, even by one that reconnects to the very
# server: its socket then connects to itself and keeps the port.
FIRST_PORT, LAST_PORT = 20_000, 29_999
TRIES = 200


def free_ports(count: int) -> list[int]:
    """Choose ports on the loopback address that nothing listens on now.

    They are chosen at random, so that stacks that start at the same moment do not meet.

    Raises:
        StackError: Hardly a port is free.
    """
    candidates = random.SystemRandom().sample(range(FIRST_PORT, LAST_PORT + 1), TRIES)
    ports = [port for port in candidates if _is_free(port)][:count]
    if len(ports) < count:
        raise StackError(
            f"found {len(ports)} free ports of {count} on {LOOPBACK}, {FIRST_PORT} to {LAST_PORT}, in {TRIES} tries: "
            "end what listens there (`ss -ltnp` lists it)"
        )
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT does not count
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
