"""The files that hold a stack's state: written atomically, readable by the owner alone, validated when read.

``stack.json`` lives from start to stop: processes, ports, versions, extra environment. ``servers.json`` outlives a
stop: the passwords, and the ports to ask for again. ``stack.env`` is the environment as a dotenv file.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from fintrack_tasks.domain import Mode
from fintrack_tasks.embedded.process import ProcessState
from fintrack_tasks.errors import ConfigurationError, OutageError

__all__ = [
    "RESTARTS",
    "WATCHER",
    "PersistentState",
    "ServerState",
    "StackState",
    "locked",
    "write_dotenv",
    "write_private",
]

_LOCK_POLL_SECONDS: Final = 0.05
_SERVERS: Final = ("postgres", "valkey")
_LOGINS: Final = ("writer", "reader")
"""Of PostgreSQL, beside its owner, whose password is the server's."""
RESTARTS: Final = "restarts.json"
"""The file that says what the supervisor started again (embedded/supervise.py); it lives from start to stop."""
WATCHER: Final = "watcher.json"
"""The file that says who starts again what ends; it lives from start to stop, so that a killed watcher leaves it."""


@dataclass(frozen=True)
class ServerState:
    """One server: its process, its port on loopback, its version and where its data lies (empty: in memory)."""

    process: ProcessState
    port: int
    version: str
    data: str = ""


@dataclass(frozen=True)
class StackState:
    """All that belongs to a running stack."""

    servers: Mapping[str, ServerState] = field(default_factory=dict)
    processes: tuple[ProcessState, ...] = ()
    extra_environment: Mapping[str, str] = field(default_factory=dict)
    mode: str = ""
    """Whose prices it holds, as :class:`fintrack_tasks.domain.Mode` says it; empty for servers that hold none yet."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """What the file says; an empty state when it is missing, cut off or not ours: processes carry a mark too."""
        raw = _read_object(path)
        try:
            return cls(
                servers={
                    str(name): ServerState(
                        _process(server["process"]), int(server["port"]), server["version"], server["data"]
                    )
                    for name, server in raw["servers"].items()
                },
                processes=tuple(_process(process) for process in raw["processes"]),
                extra_environment={str(k): str(v) for k, v in raw["extra_environment"].items()},
                mode=Mode(raw["mode"]) if raw.get("mode") else "",
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls()

    def write(self, path: Path) -> None:
        """Replace the file in one step."""
        write_private(path, json.dumps(asdict(self), indent=2))

    @property
    def anything_runs(self) -> bool:
        """Whether one server or process of it is alive."""
        return any(server.process.running for server in self.servers.values()) or any(
            process.running for process in self.processes
        )


def _process(raw: Mapping[str, Any]) -> ProcessState:
    return ProcessState(**{**raw, "argv": tuple(str(word) for word in raw.get("argv", ()))})


@dataclass(frozen=True)
class PersistentState:
    """What outlives a stop.

    ``fresh`` says that the servers' passwords were made just now and no server knows them; ``grown`` that only those of
    logins were, which a start gives to a server that runs.
    """

    passwords: Mapping[str, str]
    ports: Mapping[str, int]
    fresh: bool = field(default=False, compare=False)
    grown: bool = field(default=False, compare=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """What the file says; new passwords and no ports when it is missing or cannot be used."""
        raw = _read_object(path)
        made = {name: secrets.token_urlsafe(24) for name in (*_SERVERS, *_LOGINS)}
        try:
            passwords = {name: str(raw["passwords"][name]) for name in _SERVERS}
            passwords |= {name: str(raw["passwords"].get(name) or made[name]) for name in _LOGINS}
            ports = {str(name): int(port) for name, port in raw["ports"].items()}
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls(made, {}, fresh=True)
        return cls(passwords, ports, grown=any(passwords[name] == made[name] for name in _LOGINS))

    def write(self, path: Path) -> None:
        """Replace the file in one step."""
        write_private(path, json.dumps({"passwords": dict(self.passwords), "ports": dict(self.ports)}, indent=2))

    def __repr__(self) -> str:
        return f"PersistentState(passwords=<hidden>, ports={dict(self.ports)})"


def _read_object(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # ValueError: not JSON, or not text at all
        return {}
    except OSError as error:
        raise ConfigurationError(f"FINTRACK_HOME: {path}: {error.strerror}") from None
    return raw if isinstance(raw, dict) else {}


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, so that a reader sees the old text or the new, never a part."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_dotenv(path: Path, environment: Mapping[str, str]) -> None:
    """The environment as a dotenv file, values in single quotes.

    A reader of such files replaces ``${NAME}`` even inside quotes, so a value must not hold it.
    """
    escaped = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in environment.items()}
    write_private(path, "".join(f"{name}='{value}'\n" for name, value in sorted(escaped.items())))


@contextmanager
def locked(home: Path, patience: float = 120.0) -> Iterator[None]:
    """Hold the stack's lock, which the system drops when its holder dies.

    :param patience: seconds to wait for another start or stop to end.
    :raises OutageError: when the other one does not end.
    """
    path = home / "stack.lock"
    deadline = time.monotonic() + patience
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise OutageError(
                        "the local stack", str(home), "another start or stop holds its lock; try again"
                    ) from None
                time.sleep(_LOCK_POLL_SECONDS)  # flock has no time-out of its own
        yield
