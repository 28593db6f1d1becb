"""The stack of one folder: its three servers and whatever else was started with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fintrack_tasks.embedded import process
from fintrack_tasks.embedded.kafka import Kafka
from fintrack_tasks.embedded.ports import LOOPBACK, choose_port
from fintrack_tasks.embedded.postgres import DATABASE, OWNER, Postgres
from fintrack_tasks.embedded.process import ProcessState
from fintrack_tasks.embedded.server import NotReadyError, PortTakenError, Server
from fintrack_tasks.embedded.state import Keep, ServerState, StackState, locked, write_dotenv
from fintrack_tasks.embedded.valkey import Valkey
from fintrack_tasks.embedded.wheels import wheel_version
from fintrack_tasks.errors import ConfigurationError, OutageError

__all__ = ["ServerHealth", "Stack"]

_START_SECONDS: Final = 60.0  # a database that was killed reads its log again before it answers
_REUSE_SECONDS: Final = 15.0
_ATTEMPTS: Final = 3


@dataclass(frozen=True)
class ServerHealth:
    """What one server said when it was asked. ``detail`` is one line without secrets."""

    name: str
    address: str
    running: bool
    detail: str


class Stack:
    """PostgreSQL, Valkey and a Kafka-compatible broker in the folder ``home``.

    Each method may be called from any process; those that change something hold a lock on the folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = Path(home).expanduser().resolve()
        self._state_file = self.home / "stack.json"
        self._keep_file = self.home / "servers.json"
        self._dotenv_file = self.home / "stack.env"

    def __repr__(self) -> str:
        return f"Stack({str(self.home)!r})"

    # --- Start and stop ------------------------------------------------------------------------------------------

    def start(self, progress: Callable[[str], None] | None = None) -> dict[str, str]:
        """Start whatever does not run, over the data that is there; returns :meth:`environment`.

        When one server does not start, those that this call started are stopped again.

        :param progress: is told in a line what happens.
        :raises ConfigurationError: a wheel is missing, or the folder cannot be used.
        :raises OutageError: a server does not start; the text ends with the last lines of its log.
        """
        with self._changing(create=True):
            state = StackState.read(self._state_file)
            if not state.anything_runs:
                state = StackState()
            keep = Keep.read(self._keep_file)
            if keep.fresh:
                keep.write(self._keep_file)
            return _Start(self, state, keep, progress or (lambda _: None)).run()

    def stop(self, grace: float = 15.0) -> None:
        """Stop all processes, then all servers, and forget them. The data, the passwords and the ports stay.

        Celery workers get SIGTERM and ``grace`` seconds for the tasks in hand; whatever is left is killed, children
        of killed parents included. Nothing runs and nothing is wrong: does nothing.
        """
        if not self.home.is_dir():
            return
        with self._changing():
            state = StackState.read(self._state_file)
            process.terminate([each for each in state.processes if not each.supports], grace)
            process.terminate([each for each in state.processes if each.supports], grace)
            servers = self._servers(Keep.read(self._keep_file))
            names = {server.name for server in servers}
            process.kill([pid for pid in process.find_marked(self.home) if pid not in self._of_servers(state, servers)])
            signals = {server.name: server.stop_signal for server in servers}
            process.terminate([one.process for name, one in state.servers.items() if name in names], grace, signals)
            for server in servers:
                _end_strays(server)
            self._state_file.unlink(missing_ok=True)
            self._dotenv_file.unlink(missing_ok=True)

    # --- Asking --------------------------------------------------------------------------------------------------

    def health(self) -> dict[str, ServerHealth]:
        """Ask each server in its own protocol. Never raises because of a server that is down."""
        state = StackState.read(self._state_file)
        keep = Keep.read(self._keep_file)
        return {
            server.name: self._health(server, state.servers.get(server.name), keep) for server in self._servers(keep)
        }

    def _health(self, server: Server, known: ServerState | None, keep: Keep) -> ServerHealth:
        port = known.port if known else keep.ports.get(server.name, 0)
        address = server.address(port) if port else LOOPBACK
        if known is None:
            return ServerHealth(server.name, address, running=False, detail="not started")
        if not known.process.running:
            return ServerHealth(server.name, address, running=False, detail="its process has ended")
        try:
            return ServerHealth(server.name, address, running=True, detail=server.ask(port))
        except NotReadyError as reason:
            return ServerHealth(server.name, address, running=False, detail=str(reason))

    def environment(self) -> dict[str, str]:
        """The variables that point a program at this stack; empty when nothing of it runs. Holds passwords."""
        state = StackState.read(self._state_file)
        return self._environment(state, Keep.read(self._keep_file)) if state.anything_runs else {}

    def _environment(self, state: StackState, keep: Keep) -> dict[str, str]:
        ports = {name: server.port for name, server in state.servers.items()}
        made: dict[str, str] = {}
        if port := ports.get(Postgres.name):
            made |= {"DB_HOST": LOOPBACK, "DB_PORT": str(port), "DB_NAME": DATABASE, "DB_SSLMODE": "disable"}
            made |= {"DB_USER": OWNER, "DB_PASSWORD": keep.passwords["postgres"]}
        if port := ports.get(Valkey.name):
            made["REDIS_URL"] = f"redis://:{keep.passwords['valkey']}@{LOOPBACK}:{port}/0"
        if port := ports.get(Kafka.name):
            made["KAFKA_BOOTSTRAP_SERVERS"] = f"{LOOPBACK}:{port}"
        return {**made, **state.extra_environment}

    def processes(self) -> list[ProcessState]:
        """What :meth:`spawn` started, in that order, the ended ones among them."""
        return list(StackState.read(self._state_file).processes)

    # --- What else belongs to it ---------------------------------------------------------------------------------

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        log: Path | None = None,
        *,
        supports: bool = False,
    ) -> ProcessState:
        """Start a process that :meth:`stop` will end; the one of that name that runs already is returned as it is.

        :param env: its whole environment.
        :param log: where its output is appended; ``home/logs/NAME.log`` by default.
        :param supports: it serves the others, so it is stopped after them.
        :raises ConfigurationError: when the program cannot be executed.
        """
        with self._changing(create=True):
            state = StackState.read(self._state_file)
            for known in state.processes:
                if known.name == name and known.running:
                    return known
            log = log or self.home / "logs" / f"{name}.log"
            try:
                started = process.launch(name, argv, home=self.home, env=env, log=log, supports=supports)
            except OSError as error:
                raise ConfigurationError(f"{name} cannot be started: {argv[0]}: {error.strerror}") from None
            others = tuple(known for known in state.processes if known.name != name)
            replace(state, processes=(*others, started)).write(self._state_file)
            return started

    def add_environment(self, values: Mapping[str, str]) -> None:
        """Add variables to :meth:`environment` for as long as the stack runs."""
        self._change_environment(lambda extra: {**extra, **values})

    def remove_environment(self, *names: str) -> None:
        """Take variables out again that :meth:`add_environment` added."""
        self._change_environment(lambda extra: {name: value for name, value in extra.items() if name not in names})

    def _change_environment(self, change: Callable[[Mapping[str, str]], dict[str, str]]) -> None:
        with self._changing(create=True):
            state = StackState.read(self._state_file)
            self._save(replace(state, extra_environment=change(state.extra_environment)), Keep.read(self._keep_file))

    # --- Inside --------------------------------------------------------------------------------------------------

    def _servers(self, keep: Keep) -> tuple[Server, ...]:
        """The servers, the slowest to prepare last: the others start up meanwhile."""
        return (
            Kafka(self.home),
            Valkey(self.home, keep.passwords["valkey"]),
            Postgres(self.home, keep.passwords["postgres"]),
        )

    def _of_servers(self, state: StackState, servers: Sequence[Server]) -> set[int]:
        recorded = {server.process.pid for server in state.servers.values()}
        return recorded.union(*(server.strays() for server in servers))

    def _save(self, state: StackState, keep: Keep) -> None:
        state.write(self._state_file)
        write_dotenv(self._dotenv_file, self._environment(state, keep))

    @contextmanager
    def _changing(self, *, create: bool = False) -> Iterator[None]:
        """Hold the lock, and say what is wrong with the folder in one line."""
        try:
            if create:
                # Root lets PostgreSQL's account pass (not list) the folder; a plain user shares it with nobody.
                self.home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            with locked(self.home):
                yield
        except OSError as error:
            where = error.filename or self.home
            raise ConfigurationError(f"FINTRACK_HOME: {where}: {error.strerror or error}") from None


class _Start:
    """One start: what was there, what was launched."""

    def __init__(self, stack: Stack, state: StackState, keep: Keep, tell: Callable[[str], None]) -> None:
        self._stack = stack
        self._state = state
        self._keep = keep
        self._tell = tell
        self._launched: list[Server] = []

    def run(self) -> dict[str, str]:
        servers = self._stack._servers(self._keep)
        try:
            for server in servers:
                if not self._answers(server):
                    self._launch(server)
            for server in self._launched:
                self._await(server)
        except BaseException:
            self._undo()
            raise
        ports = {name: server.port for name, server in self._state.servers.items()}
        self._keep = replace(self._keep, ports=ports)
        self._keep.write(self._stack._keep_file)
        self._stack._save(self._state, self._keep)
        return self._stack._environment(self._state, self._keep)

    def _answers(self, server: Server) -> bool:
        known = self._state.servers.get(server.name)
        if known is None or not known.process.running:
            return False
        try:
            server.wait(known.process, known.port, _REUSE_SECONDS)
        except (OutageError, PortTakenError):
            return False  # it hangs, or answers to another password: it is started anew
        return True

    def _launch(self, server: Server, *, again: bool = False) -> None:
        known = self._state.servers.get(server.name)
        if known:
            process.terminate([known.process], 10.0, {server.name: server.stop_signal})
        _end_strays(server)
        server.prepare(self._tell)
        taken = frozenset(one.port for name, one in self._state.servers.items() if name != server.name)
        preferred = None if again else self._keep.ports.get(server.name)
        port = choose_port(preferred, taken)
        self._tell(f"starting {server.title} on {server.address(port)}")
        started = server.launch(port)
        if not again:
            self._launched.append(server)
        state = ServerState(started, port, wheel_version(server.wheel), server.data)
        self._state = replace(self._state, servers={**self._state.servers, server.name: state})
        self._state.write(self._stack._state_file)

    def _await(self, server: Server) -> None:
        for attempt in range(_ATTEMPTS):
            state = self._state.servers[server.name]
            try:
                server.wait(state.process, state.port, _START_SECONDS)
                break
            except PortTakenError:
                if attempt + 1 == _ATTEMPTS:
                    raise server.failure(state.port, "its port was taken each time") from None
                self._launch(server, again=True)
        server.settle(self._state.servers[server.name].port)

    def _undo(self) -> None:
        """Leave nothing behind of a start that failed or was interrupted."""
        names = {server.name for server in self._launched}
        signals = {server.name: server.stop_signal for server in self._launched}
        mine = [one.process for name, one in self._state.servers.items() if name in names]
        process.terminate(mine, 5.0, signals)
        left = {name: one for name, one in self._state.servers.items() if name not in names}
        replace(self._state, servers=left).write(self._stack._state_file)


def _end_strays(server: Server) -> None:
    """End servers that live although no state file knows them: in order if they can, at once if they cannot."""
    strays = [ProcessState(server.name, pid, process.identity(pid) or "", str(server.log)) for pid in server.strays()]
    process.terminate(strays, 5.0, {server.name: server.stop_signal})
