"""One start of the servers: reuse those that answer, launch the others in parallel, undo all when one fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from fintrack_tasks.embedded import process
from fintrack_tasks.embedded.ports import choose_port
from fintrack_tasks.embedded.process import ProcessState
from fintrack_tasks.embedded.server import PortTakenError, Server
from fintrack_tasks.embedded.state import PersistentState, ServerState, StackState
from fintrack_tasks.embedded.wheels import wheel_version
from fintrack_tasks.errors import OutageError

__all__ = ["Start", "end_servers"]

_START_SECONDS: Final = 60.0  # a database that was killed reads its log again before it answers
_REUSE_SECONDS: Final = 30.0
_UNDO_SECONDS: Final = 5.0
_ATTEMPTS: Final = 3


class Start:
    """Brings all servers to answer.

    :param servers: in the order in which they are launched; the slowest to prepare belongs last.
    :param state: what is known to run.
    :param keep: the ports to ask for again; fresh passwords are none that a running server could know.
    :param record: writes the state down; called after each launch, so that a killed start leaves a trace.
    :param report: is told in a line what happens.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        state: StackState,
        keep: PersistentState,
        record: Callable[[StackState], None],
        report: Callable[[str], None],
    ) -> None:
        self._servers = servers
        self._state = state
        self._keep = keep
        self._record = record
        self._report = report
        self._launched: list[Server] = []

    def run(self) -> StackState:
        """The state in which every server answers.

        :raises OutageError: when one does not; those that this start launched have been stopped again.
        """
        try:
            for server in self._servers:
                if self._answers(server):
                    server.settle(self._state.servers[server.name].port)
                else:
                    self._launched.append(server)
                    self._launch(server, self._keep.ports.get(server.name))
            for server in self._launched:
                self._await(server)
            for server in self._servers:
                server.settle(self._state.servers[server.name].port)
        except BaseException:
            self._undo()
            raise
        return self._state

    def _answers(self, server: Server) -> bool:
        """Whether the server runs and answers.

        :raises OutageError: when it runs and does not answer. It may be at work for others (all its connections taken,
            a long recovery), so it is not ended over their heads.
        """
        known = self._state.servers.get(server.name)
        if known is None or self._keep.fresh or not known.process.running:
            return False
        try:
            server.wait(known.process, known.port, _REUSE_SECONDS)
        except (OutageError, PortTakenError):
            if known.process.running:
                raise
            return False
        return True

    def _launch(self, server: Server, preferred: int | None) -> None:
        end_servers([server], self._state, _UNDO_SECONDS)
        server.prepare(self._report)
        others = frozenset(one.port for name, one in self._state.servers.items() if name != server.name)
        port = choose_port(preferred, others)
        self._report(f"starting {server.title} on {server.address(port)}")
        started = ServerState(server.launch(port), port, wheel_version(server.wheel), server.data)
        self._state = replace(self._state, servers={**self._state.servers, server.name: started})
        self._record(self._state)

    def _await(self, server: Server) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            known = self._state.servers[server.name]
            try:
                server.wait(known.process, known.port, _START_SECONDS)
                break
            except PortTakenError:
                if attempt == _ATTEMPTS:
                    raise server.failure(known.port, "its port was taken each time") from None
                self._launch(server, None)

    def _undo(self) -> None:
        end_servers(self._launched, self._state, _UNDO_SECONDS)
        names = {server.name for server in self._launched}
        left = {name: one for name, one in self._state.servers.items() if name not in names}
        self._record(replace(self._state, servers=left))


def end_servers(servers: Sequence[Server], state: StackState, grace: float) -> None:
    """End servers in order, those included that live although no state knows them."""
    signals = {server.name: server.stop_signal for server in servers}
    known = [one.process for name, one in state.servers.items() if name in signals]
    process.terminate(known, grace, signals)
    strays = [
        ProcessState(server.name, pid, process.identity(pid) or "", str(server.log))
        for server in servers
        for pid in server.strays()
    ]
    process.terminate(strays, grace, signals)
