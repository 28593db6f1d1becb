"""Free TCP ports on the loopback address."""

from __future__ import annotations

import socket
from typing import Final

__all__ = ["LOOPBACK", "choose_port", "is_free"]

LOOPBACK: Final = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could bind the port on loopback right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Connections that linger in TIME_WAIT do not stop a server from binding, so they must not stop the probe.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def choose_port(preferred: int | None, taken: frozenset[int] = frozenset()) -> int:
    """The preferred port when it is free, or else one that the system gives.

    :param taken: ports that are promised to others but not bound yet.

    Another process may take the port before the server binds it; the caller starts again with another one then.
    """
    if preferred and preferred not in taken and is_free(preferred):
        return preferred
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port
