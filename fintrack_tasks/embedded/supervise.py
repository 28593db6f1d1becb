"""The supervisor of a stack: restarts what ended by itself, with growing pauses, and records the reasons.

``up`` does so while it stays; ``up --detach`` leaves ``python -m fintrack_tasks.embedded.supervise HOME``, a process of
the stack like the others, which ends with it. A crash loop is slowed down to two starts a minute and never given up:
what failed for want of a server or of room goes on when there is one.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from fintrack_tasks.embedded import process
from fintrack_tasks.embedded.exit_reason import exit_reason, log_size
from fintrack_tasks.embedded.logs import rotate_oversized
from fintrack_tasks.embedded.process import ProcessState
from fintrack_tasks.embedded.stack import Stack
from fintrack_tasks.embedded.state import RESTARTS, WATCHER, locked, write_private
from fintrack_tasks.errors import FinTrackError, OutageError

__all__ = ["NAME", "UNWATCHED", "Restart", "Supervisor", "command", "is_unwatched", "restarts", "troubles"]

NAME: Final = "supervisor"
"""Of the process among those of the stack."""

UNWATCHED: Final = "nobody watches over the stack, what ends stays ended: take it up again with: fintrack up --detach"
"""What runs goes on meanwhile, and ``up`` leaves it as it is."""

EVERY: Final = 1.0
"""Seconds between two looks."""
_FIRST_PAUSE: Final = 0.5
_GROWTH: Final = 1.5
_LONGEST_PAUSE: Final = 30.0
"""The first start is at once; ten in a row take 36 seconds of pauses."""
_FORGOTTEN: Final = 60.0
"""A process that ran for so long begins anew with none."""
_MOST_KEPT: Final = 200
_LOOP: Final = 3
"""So many starts of one process within five minutes are told as trouble."""
_LOOP_SECONDS: Final = 300.0
_LAST_SECONDS: Final = 5.0
"""What a process wrote so long before its end was seen may say why it ended; older lines are of what it got over."""


@dataclass(frozen=True, slots=True)
class Restart:
    """How often a server or process was started again since the stack was started, and why the last time."""

    name: str
    count: int
    last: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class _Start:
    name: str
    at: str
    reason: str


def command(home: Path) -> list[str]:
    """How the supervisor of a stack is started."""
    return [sys.executable, "-P", "-m", "fintrack_tasks.embedded.supervise", str(home)]


def restarts(stack: Stack) -> list[Restart]:
    """What was started again, by name."""
    known: dict[str, list[_Start]] = {}
    for start in _read(stack.home / RESTARTS):
        known.setdefault(start.name, []).append(start)
    return [
        Restart(name, len(starts), datetime.fromisoformat(starts[-1].at), starts[-1].reason)
        for name, starts in sorted(known.items())
    ]


def troubles(stack: Stack, now: datetime) -> list[str]:
    """What of a running stack is down now, and what ends again and again; a line for each."""
    unwatched = is_unwatched(stack)
    lines = [
        f"{name} has ended: {exit_reason(one)}; its log: {one.log}"
        for name, one in stack.ended().items()
        if name != NAME or not unwatched
    ]
    times: dict[str, list[_Start]] = {}
    for start in _read(stack.home / RESTARTS):
        if (now - datetime.fromisoformat(start.at)).total_seconds() < _LOOP_SECONDS:
            times.setdefault(start.name, []).append(start)
    lines += [
        f"{name} was started again {len(starts)} times within five minutes: {starts[-1].reason}"
        for name, starts in sorted(times.items())
        if len(starts) >= _LOOP
    ]
    return [*lines, UNWATCHED] if unwatched else lines


def is_unwatched(stack: Stack) -> bool:
    """Whether who started again what ended has ended itself. A stack that nobody was to watch over is none of these."""
    if any(one.name == NAME and one.running for one in stack.processes()):
        return False
    return NAME in stack.ended() or ((stack.home / WATCHER).exists() and not _is_watching(stack.home / WATCHER))


def _is_watching(path: Path) -> bool:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return process.is_alive(int(known["pid"]), str(known["began"]))
    except (OSError, ValueError, TypeError, KeyError):
        return False


class Supervisor:
    """Starts again what ended.

    :param report: is told in a line what happens.
    :param clock: monotonic seconds.
    :param restart: False to report only.
    """

    def __init__(
        self,
        stack: Stack,
        report: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        *,
        restart: bool = True,
    ) -> None:
        self._stack = stack
        self._restart = restart
        self._report = report
        self._clock = clock
        self._environments: dict[str, dict[str, str]] = {}
        self._starts: dict[str, deque[float]] = {}
        self._due: dict[str, float] = {}
        self._written: dict[int, deque[tuple[float, int]]] = {}

    def look(self, now: datetime) -> None:
        """Start what ended and is due, and keep the logs in bounds. Never raises: the next look may find room.

        A stack that another start or stop is at work on is left alone.
        """
        try:
            self._sign()
            rotate_oversized(self._stack.home)
            self._look(now)
        except (FinTrackError, OSError) as error:
            self._report(f"not looked after: {error}")

    def _sign(self) -> None:
        """Write down who watches, for whoever asks after a kill of this process."""
        path = self._stack.home / WATCHER
        if self._restart and self._stack.processes() and not _is_watching(path):
            write_private(path, json.dumps({"pid": os.getpid(), "began": process.identity(os.getpid())}))

    def _look(self, now: datetime) -> None:
        self._remember_environments()
        self._remember_logs()
        try:
            with locked(self._stack.home, patience=0.0):
                ended = self._stack.ended()
        except OutageError:
            return  # what ends now may end in order
        clock = self._clock()
        self._due = {name: due for name, due in self._due.items() if name in ended}
        for name, one in ended.items():
            if name == NAME:
                continue
            if name not in self._due:
                pause = self._pause(name, clock)
                self._due[name] = clock + pause
                when = f"starting it again in {pause:.1f} s" if pause else "starting it again"
                when = when if self._restart else "start it with: fintrack up --detach"
                self._report(f"{name} has ended; its log: {one.log}; {when}")
            if self._restart and self._due[name] <= clock:
                self._start(name, one, now)

    def _pause(self, name: str, clock: float) -> float:
        starts = self._starts.setdefault(name, deque(maxlen=16))
        if starts and clock - starts[-1] > _FORGOTTEN:
            starts.clear()
        return min(_FIRST_PAUSE * _GROWTH ** (len(starts) - 1), _LONGEST_PAUSE) if starts else 0.0

    def _start(self, name: str, ended: ProcessState, now: datetime) -> None:
        reason = exit_reason(ended, self._since(ended))
        self._starts[name].append(self._clock())
        del self._due[name]
        try:
            if name in self._stack.health():
                self._stack.start()
            elif self._stack.start_again(name, self._environment(name)) is None:
                return
        except FinTrackError as error:
            self._report(f"{name} could not be started: {error}")
            return
        _write(self._stack.home / RESTARTS, _Start(name, now.isoformat(), reason))

    def _environment(self, name: str) -> Mapping[str, str]:
        return self._environments.get(name) or {**os.environ, **self._stack.environment()}

    def _remember_logs(self) -> None:
        """Note how far each log reached while its process ran, for the last seconds."""
        now, kept = self._clock(), self._written
        self._written = {}
        for one in self._stack.parts():
            known = kept.get(one.pid, deque())
            if one.running:
                known.append((now, log_size(one)))
                while len(known) > 1 and known[1][0] <= now - _LAST_SECONDS:
                    known.popleft()
            self._written[one.pid] = known

    def _since(self, ended: ProcessState) -> int:
        known = self._written.get(ended.pid)
        return known[0][1] if known else 0

    def _remember_environments(self) -> None:
        """Note with which environment each process runs: it may hold keys, which are written to no file."""
        for one in self._stack.processes():
            if one.running and one.name != NAME:
                try:
                    environment = psutil.Process(one.pid).environ()
                except psutil.Error:
                    continue  # it has just ended
                if process.MARK in environment:
                    self._environments[one.name] = environment


def _read(path: Path) -> list[_Start]:
    try:
        return [_Start(**each) for each in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _write(path: Path, start: _Start) -> None:
    kept: list[dict[str, Any]] = [asdict(each) for each in (*_read(path), start)][-_MOST_KEPT:]
    write_private(path, json.dumps(kept))


def main(home: Path) -> None:
    """Watch over a stack until it is stopped, or another supervisor has taken over."""
    stack = Stack(home)
    supervisor = Supervisor(stack, lambda line: print(line, flush=True))  # noqa: T201  its log
    while True:
        time.sleep(EVERY)  # other processes' children cannot be waited on
        if not any(one.name == NAME and one.pid == os.getpid() for one in stack.processes()):
            return
        supervisor.look(datetime.now(tz=UTC))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
