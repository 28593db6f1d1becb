"""What ends by itself is started again with growing pauses; what was stopped stays so; every start has its reason."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from fintrack_tasks.embedded import Stack, supervise
from fintrack_tasks.embedded.process import ProcessState
from fintrack_tasks.embedded.supervise import Supervisor

NOW = datetime(2024, 1, 2, tzinfo=UTC)
SLEEPER = [sys.executable, "-c", "import time; time.sleep(120)"]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path / "home")
    yield made
    made.stop()


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def end(one: ProcessState) -> None:
    os.kill(one.pid, signal.SIGKILL)
    await_end(one)


def await_end(one: ProcessState) -> None:
    until = time.monotonic() + 10
    while one.running and time.monotonic() < until:
        time.sleep(0.02)


def running(stack: Stack, name: str) -> ProcessState | None:
    return next((one for one in stack.processes() if one.name == name and one.running), None)


def test_a_process_that_ended_is_started_as_it_was_with_the_environment_that_it_had(stack: Stack) -> None:
    first = stack.spawn("worker", SLEEPER, {"A_KEY": "of-its-own"})
    supervisor = Supervisor(stack, lambda _: None)
    supervisor.look(NOW)
    end(first)
    supervisor.look(NOW)
    again = running(stack, "worker")
    assert again is not None
    assert (again.pid != first.pid, again.argv) == (True, tuple(SLEEPER))
    assert b"A_KEY=of-its-own" in Path(f"/proc/{again.pid}/environ").read_bytes()
    assert "of-its-own" not in "".join(p.read_text() for p in stack.home.glob("*.json"))
    [told] = supervise.restarts(stack)
    assert (told.name, told.count, told.last, told.reason) == ("worker", 1, NOW, "killed by signal 9")


def test_an_error_of_long_before_is_not_the_reason_of_an_end(stack: Stack, tmp_path: Path) -> None:
    """Nobody here knows how it ended, as with what ``up --detach`` started and left."""
    program = "import time; print('ValueError: of one request, answered', flush=True); time.sleep(120)"
    script = (
        "import sys; from pathlib import Path; from fintrack_tasks.embedded import Stack;"
        f" Stack(Path({str(stack.home)!r})).spawn('flower', [sys.executable, '-c', {program!r}], {{}})"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    [flower] = stack.processes()
    until = time.monotonic() + 10
    while "ValueError" not in Path(flower.log).read_text() and time.monotonic() < until:
        time.sleep(0.02)
    clock = Clock()
    supervisor = Supervisor(stack, lambda _: None, clock)
    for _ in range(8):
        supervisor.look(NOW)
        clock.now += 1.0
    end(flower)
    supervisor.look(NOW)
    [told] = supervise.restarts(stack)
    assert (told.name, told.reason) == ("flower", "without a word, as a killed process ends")


def test_the_pauses_grow_to_half_a_minute_and_a_loop_is_told(stack: Stack) -> None:
    stack.spawn("worker", [sys.executable, "-c", "raise SystemExit('ConfigurationError: no such thing')"], {})
    clock, said = Clock(), list[str]()
    supervisor = Supervisor(stack, said.append, clock)
    starts = []
    for _ in range(400):
        before = len(supervise.restarts(stack) and supervise._read(stack.home / "restarts.json"))
        supervisor.look(NOW)
        if len(supervise._read(stack.home / "restarts.json")) > before:
            starts.append(clock.now)
            await_end(stack.processes()[0])
        clock.now += 1.0
    pauses = [round(b - a) for a, b in pairwise(starts)]
    # Half a second, half as much again each time, up to half a minute; a second passes before the end is seen.
    assert pauses[:9] == [2, 2, 3, 3, 4, 5, 7, 10, 14]
    assert set(pauses[11:]) == {31}
    [_, trouble] = supervise.troubles(stack, NOW + timedelta(seconds=10))
    assert "started again" in trouble
    assert "no such thing" in trouble


def test_what_was_stopped_stays_stopped(stack: Stack) -> None:
    stack.spawn("worker", SLEEPER, {})
    supervisor = Supervisor(stack, lambda _: None)
    supervisor.look(NOW)
    stack.stop()
    supervisor.look(NOW)
    assert stack.start_again("worker", {}) is None
    assert (stack.processes(), supervise.restarts(stack)) == ([], [])


def test_only_telling_starts_nothing(stack: Stack) -> None:
    end(stack.spawn("worker", SLEEPER, {}))
    said = list[str]()
    supervisor = Supervisor(stack, said.append, restart=False)
    supervisor.look(NOW)
    supervisor.look(NOW)
    assert running(stack, "worker") is None
    [line] = said
    assert "start it with: fintrack up --detach" in line


def test_a_killed_watcher_is_told_until_another_one_watches(stack: Stack) -> None:
    """Be it ``up`` in the foreground, which is no process of the stack."""
    stack.spawn("worker", SLEEPER, {})
    assert not supervise.is_unwatched(stack), "nobody was to watch over it"
    script = (
        "import time; from datetime import UTC, datetime; from pathlib import Path; from fintrack_tasks.embedded import"
        " Stack, supervise; one = supervise.Supervisor("
        f"Stack(Path({str(stack.home)!r})), print); one.look(datetime.now(tz=UTC)); print('looked', flush=True);"
        " time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as watcher:
        assert watcher.stdout is not None
        watcher.stdout.readline()
        assert not supervise.is_unwatched(stack)
        Supervisor(stack, lambda _: None, restart=False).look(NOW)
        watcher.kill()
    assert supervise.troubles(stack, NOW) == [supervise.UNWATCHED]
    Supervisor(stack, lambda _: None).look(NOW)
    assert supervise.troubles(stack, NOW) == []


def test_a_killed_supervisor_is_told_with_the_way_out(stack: Stack) -> None:
    stack.spawn("worker", SLEEPER, {})
    end(stack.spawn(supervise.NAME, SLEEPER, {}))
    assert supervise.troubles(stack, NOW) == [supervise.UNWATCHED]
    assert "fintrack up --detach" in supervise.UNWATCHED


def test_the_supervisor_starts_what_is_killed_and_ends_with_its_stack(stack: Stack) -> None:
    first = stack.spawn("worker", SLEEPER, {"PATH": os.environ["PATH"]})
    own = stack.spawn(supervise.NAME, supervise.command(stack.home), dict(os.environ))
    until = time.monotonic() + 30
    end(first)
    while (again := running(stack, "worker")) is None and time.monotonic() < until:
        time.sleep(0.1)
    assert again is not None
    stack.stop()
    assert (again.running, own.running) == (False, False)
