"""Daemons: started in a session of their own, recognised later by more than a number, ended with all they started.

A process id alone says little, for ids are used again. A process is known here by its id and the moment it began, and
each one carries :data:`MARK` in its environment, which its children inherit: so even a child whose parent was killed,
or a server whose state file was lost, is found and ended.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import psutil

from fintrack_tasks.embedded.logs import LIMIT
from fintrack_tasks.embedded.postgres_account import Account
from fintrack_tasks.errors import ConfigurationError

__all__ = [
    "MARK",
    "NAME",
    "ProcessState",
    "exit_status",
    "find_homes",
    "find_marked",
    "find_working_in",
    "identity",
    "is_alive",
    "kill",
    "launch",
    "listens",
    "log_lines",
    "summary_line",
    "tail",
    "terminate",
    "with_mark",
]

MARK: Final = "FINTRACK_STACK"
"""The environment variable that carries the stack's folder in each of its processes."""
NAME: Final = "FINTRACK_STACK_PROCESS"
"""The environment variable that carries the process' name within its stack."""

_LOG_LIMIT: Final = LIMIT
_POLL_SECONDS: Final = 0.02
_GIST_LINES: Final = 3
_COMPLAINT: Final = re.compile(r"\b(ERROR|FATAL|PANIC|error):")
_BEGIN: Final = "--- the process begins\n"

_children: dict[int, subprocess.Popen[bytes]] = {}
"""What this very process started: it must reap them, or the dead would stay as zombies."""


@dataclass(frozen=True)
class ProcessState:
    """A process of the stack as it was when it was asked about.

    :param began: opaque text that tells this process from a later one with the same id.
    :param supports: it serves the others (the sandbox), so it is stopped after them.
    :param argv: how it was started.
    """

    name: str
    pid: int
    began: str
    log: str
    supports: bool = False
    argv: tuple[str, ...] = ()

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return is_alive(self.pid, self.began)


def identity(pid: int) -> str | None:
    """Text that is equal for as long as the process lives and differs for any other; ``None`` when it is dead."""
    if child := _children.get(pid):
        child.poll()  # reaps it when it is dead
    if (boot := _boot_id()) is None:
        return _portable_identity(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces and parentheses
    # Field 22 counts clock ticks since boot, so that setting the clock does not change it.
    return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"


def listens(pid: int, port: int) -> bool:
    """Whether the process itself listens on the TCP port; ``True`` as well where the system does not report."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False
    return any(known.status == psutil.CONN_LISTEN and known.laddr.port == port for known in connections)


@cache
def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None  # not Linux


def _portable_identity(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return None


def is_alive(pid: int, began: str) -> bool:
    """Whether this very process runs: the same id, begun at the same moment, not a zombie."""
    return pid > 0 and identity(pid) == began


def launch(
    name: str,
    argv: Sequence[str],
    *,
    home: Path,
    env: Mapping[str, str],
    log: Path,
    account: Account | None = None,
    cwd: Path | None = None,
    supports: bool = False,
) -> ProcessState:
    """Start a daemon in a session of its own, with its output appended to ``log``. It outlives this process.

    :param account: whom it runs as; ``None`` for the user of this process.
    :raises OSError: when the program cannot be executed or the log cannot be written.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_name(f"{log.name}.1"))
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        output.write(_BEGIN.encode())
        output.flush()
        process = subprocess.Popen(  # noqa: S603  no shell; the program is a wheel's binary or the caller's own
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=with_mark(home, name, env),
            cwd=cwd,
            start_new_session=True,
            **(account.popen_arguments() if account else {}),
        )
    _children[process.pid] = process
    return ProcessState(name, process.pid, identity(process.pid) or "", str(log), supports, tuple(argv))


def exit_status(pid: int) -> int | None:
    """How a process ended that this very process started: its exit code, negative for a signal; else ``None``."""
    child = _children.get(pid)
    return child.poll() if child else None


def tail(log: str | Path) -> str:
    """What :func:`summary_line` makes of the latest process' part of a log; empty when there is none."""
    try:
        with Path(log).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return summary_line(text.rpartition(_BEGIN)[2])


def log_lines(log: str | Path, since: int, most: int) -> list[str]:
    """The latest process' last lines that are not blank, of what was written after ``since``, up to ``most`` bytes."""
    try:
        with Path(log).open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            begin = since if since <= end else 0  # it was cut where it stands meanwhile
            file.seek(max(begin, end - most))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return [line for line in text.rpartition(_BEGIN)[2].splitlines() if line.strip()]


def summary_line(output: str) -> str:
    """The last lines of a program's output on one line, and before them its last complaint if it stands further up."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    complaints = [line for line in lines[:-_GIST_LINES] if _COMPLAINT.search(line)]
    return " | ".join([*complaints[-1:], *lines[-_GIST_LINES:]])


def with_mark(home: Path, name: str, env: Mapping[str, str]) -> dict[str, str]:
    """The environment with the stack's mark added."""
    return {**env, MARK: str(home), NAME: name}


def find_marked(home: Path, name: str | None = None) -> list[int]:
    """The living processes that carry the mark of the stack in ``home``, without this one and its ancestors."""
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        if process.pid in mine:
            continue
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue  # it ended meanwhile, or belongs to somebody else
        if environment.get(MARK) == str(home) and name in (None, environment.get(NAME)):
            found.append(process.pid)
    return [pid for pid in found if identity(pid) is not None]


def find_homes() -> set[Path]:
    """The folders of all stacks of which this user has a process."""
    found = set()
    for process in psutil.process_iter():
        try:
            if process.uids().real == os.getuid() and (home := process.environ().get(MARK)):
                found.add(Path(home))
        except (psutil.Error, OSError):
            continue  # it ended meanwhile, or is not to be looked at
    return found


def find_working_in(folder: Path, program: str) -> list[int]:
    """The living processes of a program that work in ``folder``, be it removed meanwhile.

    For programs that write their title over the memory of their environment, mark included, as PostgreSQL's children
    and Valkey do.
    """
    here = (str(folder), f"{folder} (deleted)")
    found = []
    for candidate in psutil.process_iter(["name"]):
        try:
            if candidate.info["name"] == program and candidate.cwd() in here:
                found.append(candidate.pid)
        except (psutil.Error, OSError):
            continue  # it ended meanwhile, or belongs to somebody else
    return [pid for pid in found if identity(pid) is not None]


def terminate(processes: Iterable[ProcessState], grace: float, how: Mapping[str, signal.Signals] | None = None) -> None:
    """Ask all processes to end at once, wait for them, and kill what is left of their groups after ``grace`` seconds.

    The request goes to the process alone, since a Celery worker ends its children itself, after their tasks.

    :param how: the signal by process name; SIGTERM for any other.
    """
    waiting = [process for process in processes if process.running]
    for process in waiting:
        _signal(process.pid, (how or {}).get(process.name, signal.SIGTERM))
    leaders = [process.pid for process in waiting]
    deadline = time.monotonic() + grace
    while waiting and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)  # other processes' children cannot be waited on
        waiting = [process for process in waiting if process.running]
    kill([process.pid for process in waiting])
    for pid in leaders:
        _kill_group(pid)


def kill(pids: Iterable[int]) -> None:
    """End processes at once and wait until they are gone (at most two seconds)."""
    waiting = {pid: began for pid in pids if (began := identity(pid))}
    for pid in waiting:
        _signal(pid, signal.SIGKILL)
    deadline = time.monotonic() + 2.0
    while any(is_alive(pid, began) for pid, began in waiting.items()) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _signal(pid: int, how: signal.Signals) -> None:
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return  # it has just ended
    except PermissionError:
        raise ConfigurationError(
            f"process {pid} of the stack belongs to another user; stop it as that user, or as root"
        ) from None


def _kill_group(pid: int) -> None:
    """Kill what is left of the process group that a daemon led."""
    if identity(pid) is not None:
        return  # somebody else has the id by now; a daemon that did not end is killed by its caller
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
