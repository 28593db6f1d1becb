"""Daemons are recognised by more than a number, and end with all they started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from fintrack_tasks.embedded import process
from fintrack_tasks.embedded.process import ProcessState

SLEEP = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('here', flush=True); time.sleep(60)",
]


@pytest.fixture
def launched(home: Path) -> Callable[..., ProcessState]:
    """Starts a daemon and waits until its program runs; the folder's fixture ends it."""

    def launch(argv: list[str], name: str = "daemon") -> ProcessState:
        state = process.launch(name, argv, home=home, env={"GIVEN": "1"}, log=home / "logs" / f"{name}.log")
        deadline = time.monotonic() + 10
        while "here" not in Path(state.log).read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return state

    return launch


def test_a_daemon_leads_a_session_of_its_own_and_sees_only_what_it_was_given(
    launched: Callable[..., ProcessState],
) -> None:
    state = launched(SLEEP)
    assert os.getsid(state.pid) == os.getpgid(state.pid) == state.pid != os.getsid(0)
    environment = psutil.Process(state.pid).environ()
    assert environment["GIVEN"] == "1"
    assert "PATH" not in environment
    assert state.running


def test_the_same_id_with_another_beginning_is_another_process(launched: Callable[..., ProcessState]) -> None:
    state = launched(SLEEP)
    assert process.is_alive(state.pid, state.began)
    assert not process.is_alive(state.pid, state.began + "0")
    assert not process.is_alive(-1, "")
    assert not process.is_alive(0, "")


def test_a_zombie_does_not_run() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        deadline = time.monotonic() + 10
        while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert process.identity(child.pid) is None


def test_who_does_not_heed_the_request_is_killed_after_the_grace(launched: Callable[..., ProcessState]) -> None:
    heeding, deaf = launched(SLEEP, "heeding"), launched(DEAF, "deaf")
    began = time.monotonic()
    process.terminate([heeding, deaf], grace=0.3)
    assert time.monotonic() - began >= 0.3
    assert not heeding.running
    assert not deaf.running


def test_marked_processes_are_found_by_folder_and_name(home: Path, launched: Callable[..., ProcessState]) -> None:
    one, two = launched(SLEEP, "one"), launched(SLEEP, "two")
    assert set(process.find_marked(home)) == {one.pid, two.pid}
    assert process.find_marked(home, "two") == [two.pid]
    assert process.find_marked(home.parent) == []


def test_the_tail_of_a_log_is_what_the_latest_process_said(home: Path) -> None:
    log = home / "logs" / "talker.log"
    for words in ("old words", "first\\nFATAL: no space left\\n\\nsecond\\nthird\\nfourth"):
        state = process.launch("talker", [sys.executable, "-c", f"print('{words}')"], home=home, env={}, log=log)
        while state.running:
            time.sleep(0.01)
    assert process.tail(log) == "FATAL: no space left | second | third | fourth"
    assert process.tail(home / "no.log") == ""


def test_a_log_that_grew_long_is_put_aside(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_LOG_LIMIT", 10)
    log = home / "logs" / "talker.log"
    log.parent.mkdir()
    log.write_text("what was said before\n")
    process.launch("talker", [sys.executable, "-c", ""], home=home, env={}, log=log)
    assert (home / "logs" / "talker.log.1").read_text() == "what was said before\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to play another user")
def test_a_process_of_another_user_is_named_and_not_passed_over(launched: Callable[..., ProcessState]) -> None:
    state = launched(SLEEP)
    script = f"""
import os, sys
from fintrack_tasks.embedded import process
from fintrack_tasks.errors import ConfigurationError
state = process.ProcessState("daemon", {state.pid}, {state.began!r}, "")
assert state.running  # also loads what the interpreter needs, which may lie where the other user cannot read
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
try:
    process.terminate([state], 0.1)
except ConfigurationError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert f"process {state.pid} of the stack belongs to another user" in told
    assert state.running
