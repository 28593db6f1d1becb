"""The stack of one folder: its three servers and whatever else was started with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fintrack_tasks.domain import Mode
from fintrack_tasks.embedded import process
from fintrack_tasks.embedded.kafka import Kafka
from fintrack_tasks.embedded.ports import LOOPBACK
from fintrack_tasks.embedded.postgres import DATABASE, OWNER, READER_LOGIN, WRITER_LOGIN, Postgres
from fintrack_tasks.embedded.process import ProcessState
from fintrack_tasks.embedded.server import NotReadyError, Server
from fintrack_tasks.embedded.startup import Start, end_servers
from fintrack_tasks.embedded.state import (
    RESTARTS,
    WATCHER,
    PersistentState,
    ServerState,
    StackState,
    locked,
    write_dotenv,
)
from fintrack_tasks.embedded.valkey import Valkey
from fintrack_tasks.errors import ConfigurationError, UsageError

__all__ = ["ServerHealth", "Stack", "database_of"]

_BROKER_DATABASE: Final = {"": 0, Mode.LIVE: 1, Mode.SIMULATED: 2}
"""A mode's number in Valkey: queues, quotas and schedules of one mode are never seen by the other's workers."""


def database_of(mode: str) -> str:
    """The name of a mode's database."""
    return f"{DATABASE}_{mode}" if mode else DATABASE


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

    def start(self, progress: Callable[[str], None] | None = None, mode: Mode | None = None) -> dict[str, str]:
        """Start whatever does not run, over the data that is there; returns :meth:`environment`.

        When one server does not start, those that this call started are stopped again.

        :param progress: is told in a line what happens.
        :param mode: whose prices it will hold: it gets a database and a broker's database of its own. It stays until
            the stack is stopped; ``None`` for whatever runs, or for bare servers.
        :raises UsageError: something of the stack runs in the other mode.
        :raises ConfigurationError: a wheel is missing, or the folder cannot be used.
        :raises OutageError: a server does not start; the text ends with the last lines of its log.
        """
        with self._changing(create=True):
            state = self._in_mode(StackState.read(self._state_file), mode)
            keep = PersistentState.read(self._keep_file)
            if keep.fresh or keep.grown:
                keep.write(self._keep_file)  # before a server learns them
            report = progress or (lambda _: None)
            state = Start(self._servers(keep, state.mode), state, keep, self._record, report).run()
            ports = {name: server.port for name, server in state.servers.items()}
            if ports != keep.ports:
                keep = replace(keep, ports=ports)
                keep.write(self._keep_file)
            self._save(state, keep)
            return self._environment(state, keep)

    def _in_mode(self, state: StackState, mode: Mode | None) -> StackState:
        """The state to start from: what runs keeps its mode, and what is left of a killed stack does not run on."""
        if not state.anything_runs:
            servers = {
                pid for server in self._servers(PersistentState.read(self._keep_file)) for pid in server.strays()
            }
            process.kill([pid for pid in process.find_marked(self.home) if pid not in servers])
            return StackState(mode=mode or "")
        if mode is None:
            return state
        self.require_mode(mode, state)
        return replace(state, mode=mode)

    def require_mode(self, mode: Mode, state: StackState | None = None) -> None:
        """Say that a stack of the other mode, or a part of one, runs here; nothing is stopped or started.

        :raises UsageError: it does.
        """
        state = state or StackState.read(self._state_file)
        busy = state.mode or any(known.running for known in state.processes)
        if not state.anything_runs or not busy or state.mode == mode:
            return
        found = f"a {state.mode} stack" if state.mode else "a stack of an earlier version"
        raise UsageError(f"{found} runs in {self.home}; before a {mode} one starts there, stop it: fintrack down")

    def stop(self, grace: float = 15.0) -> None:
        """Stop all processes, then all servers, and forget them. The data, the passwords and the ports stay.

        Celery workers get SIGTERM and ``grace`` seconds for the tasks in hand; whatever is left is killed, children
        of killed parents included. Does nothing where nothing runs.
        """
        if not self.home.is_dir():
            self._end(StackState(), grace)  # perhaps it was removed under its servers
            return
        with self._changing():
            self._end(StackState.read(self._state_file), grace)
            self._forget()

    def _end(self, state: StackState, grace: float) -> None:
        servers = self._servers(PersistentState.read(self._keep_file))
        process.terminate([each for each in state.processes if not each.supports], grace)
        process.terminate([each for each in state.processes if each.supports], grace)
        spared = {one.process.pid for one in state.servers.values()}.union(*(each.strays() for each in servers))
        process.kill([pid for pid in process.find_marked(self.home) if pid not in spared])
        end_servers(servers, state, grace)

    # --- Asking --------------------------------------------------------------------------------------------------

    def health(self) -> dict[str, ServerHealth]:
        """Ask each server in its own protocol. Never raises because of a server that is down."""
        state = StackState.read(self._state_file)
        keep = PersistentState.read(self._keep_file)
        return {
            server.name: self._health(server, state.servers.get(server.name), keep) for server in self._servers(keep)
        }

    def _health(self, server: Server, known: ServerState | None, keep: PersistentState) -> ServerHealth:
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
        """The variables that point a program at this stack. Holds passwords.

        Empty when nothing of the stack runs, or when its passwords were lost and the next start will make new ones.
        """
        state = StackState.read(self._state_file)
        keep = PersistentState.read(self._keep_file)
        known = state.anything_runs and not keep.fresh and not keep.grown
        return self._environment(state, keep) if known else {}

    def owner_environment(self) -> dict[str, str]:
        """The variables of the login that migrates, a superuser: for :meth:`start`'s caller, and for no worker."""
        keep = PersistentState.read(self._keep_file)
        return {} if keep.fresh else {"DB_OWNER_USER": OWNER, "DB_OWNER_PASSWORD": keep.passwords["postgres"]}

    def _environment(self, state: StackState, keep: PersistentState) -> dict[str, str]:
        ports = {name: server.port for name, server in state.servers.items()}
        made: dict[str, str] = {}
        if port := ports.get(Postgres.name):
            made |= {
                "DB_HOST": LOOPBACK,
                "DB_PORT": str(port),
                "DB_NAME": database_of(state.mode),
                "DB_SSLMODE": "disable",
            }
            made |= {"DB_USER": WRITER_LOGIN, "DB_PASSWORD": keep.passwords["writer"]}
            made |= {"DB_READER_USER": READER_LOGIN, "DB_READER_PASSWORD": keep.passwords["reader"]}
        if port := ports.get(Valkey.name):
            made["REDIS_URL"] = f"redis://:{keep.passwords['valkey']}@{LOOPBACK}:{port}/{_BROKER_DATABASE[state.mode]}"
        if port := ports.get(Kafka.name):
            made["KAFKA_BOOTSTRAP_SERVERS"] = f"{LOOPBACK}:{port}"
        return {**made, **state.extra_environment}

    @property
    def mode(self) -> Mode | None:
        """Whose prices the running stack holds; ``None`` where nothing runs, or where servers run alone."""
        state = StackState.read(self._state_file)
        return Mode(state.mode) if state.mode and state.anything_runs else None

    def servers(self) -> dict[str, ServerState]:
        """The servers that were started, by name, the ended ones among them."""
        return dict(StackState.read(self._state_file).servers)

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
            return self._launch(state, name, argv, env, log or self.home / "logs" / f"{name}.log", supports=supports)

    def _launch(
        self, state: StackState, name: str, argv: Sequence[str], env: Mapping[str, str], log: Path, *, supports: bool
    ) -> ProcessState:
        process.kill(process.find_marked(self.home, name))  # what a killed parent left behind
        try:
            started = process.launch(name, argv, home=self.home, env=env, log=log, supports=supports)
        except OSError as error:
            raise ConfigurationError(f"{name} cannot be started: {argv[0]}: {error.strerror}") from None
        others = tuple(known for known in state.processes if known.name != name)
        replace(state, processes=(*others, started)).write(self._state_file)
        return started

    def parts(self) -> list[ProcessState]:
        """The processes of the servers, and what :meth:`spawn` started, the ended ones among them."""
        state = StackState.read(self._state_file)
        return [*(server.process for server in state.servers.values()), *state.processes]

    def ended(self) -> dict[str, ProcessState]:
        """The servers and processes that belong to the stack and ended by themselves, by name; servers first."""
        return {one.name: one for one in self.parts() if not one.running}

    def start_again(self, name: str, env: Mapping[str, str]) -> ProcessState | None:
        """Start a process that ended as it was started before; ``None`` where there is nothing to start.

        That is so when it runs, since another one was faster, and when the stack was stopped meanwhile.

        :param env: its whole environment.
        :raises ConfigurationError: when the program cannot be executed.
        """
        with self._changing():
            state = StackState.read(self._state_file)
            known = next((each for each in state.processes if each.name == name), None)
            if known is None or known.running or not known.argv:
                return None
            return self._launch(state, name, known.argv, env, Path(known.log), supports=known.supports)

    def add_environment(self, values: Mapping[str, str]) -> None:
        """Add variables to :meth:`environment` for as long as the stack runs."""
        with self._changing(create=True):
            state = StackState.read(self._state_file)
            more = {**state.extra_environment, **values}
            self._save(replace(state, extra_environment=more), PersistentState.read(self._keep_file))

    # --- Inside --------------------------------------------------------------------------------------------------

    def _servers(self, keep: PersistentState, mode: str = "") -> tuple[Server, ...]:
        """The servers, the slowest to prepare last: the others start up meanwhile."""
        return (
            Kafka(self.home),
            Valkey(self.home, keep.passwords["valkey"]),
            Postgres(
                self.home,
                keep.passwords["postgres"],
                database_of(mode),
                writer=keep.passwords["writer"],
                reader=keep.passwords["reader"],
            ),
        )

    def _record(self, state: StackState) -> None:
        """Write down what runs; nothing is written of nothing."""
        if state.servers or state.processes:
            state.write(self._state_file)
        else:
            self._forget()

    def _save(self, state: StackState, keep: PersistentState) -> None:
        state.write(self._state_file)
        write_dotenv(self._dotenv_file, self._environment(state, keep))

    def _forget(self) -> None:
        for file in (self._state_file, self._dotenv_file, self.home / RESTARTS, self.home / WATCHER):
            file.unlink(missing_ok=True)

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
