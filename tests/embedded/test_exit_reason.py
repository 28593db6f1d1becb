"""Why a part ended is told by its status or by its own last words, and by no line of before or of somebody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fintrack_tasks.embedded import Stack, process
from fintrack_tasks.embedded.exit_reason import exit_reason, log_size
from fintrack_tasks.embedded.process import ProcessState

SILENT = "without a word, as a killed process ends"
POSTGRES = "2026-01-05 10:00:00.459 UTC"
"""PostgreSQL's own prefix of a line, before the process in brackets."""


def ended(folder: Path, *lines: str, pid: int = 2**22 + 1) -> ProcessState:
    """A process that nobody here started, after it wrote those lines."""
    log = folder / "part.log"
    before = "an earlier one\nFATAL: of an earlier one\n"
    log.write_text(before + "--- the process begins\n" + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return ProcessState("part", pid, "never", str(log))


def ran(folder: Path, program: str) -> ProcessState:
    """A process that this one started, after its end."""
    one = process.launch("part", [sys.executable, "-c", program], home=folder, env={}, log=folder / "part.log")
    while one.running:
        time.sleep(0.02)
    return one


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("ready",),
        ("[E 260105 web:1] ValueError: one request, answered long ago", "[I 260105 web:1] 200 GET /"),
        (
            f"{POSTGRES} [7] LOG:  database system is ready to accept connections",
            f"{POSTGRES} [9] ERROR:  relation does not exist at character 18",
            f"{POSTGRES} [9] STATEMENT:  SELECT 1",
        ),
        (
            f"{POSTGRES} [7] LOG:  database system is ready to accept connections",
            f"{POSTGRES} [9] FATAL:  terminating connection due to unexpected postmaster exit",
        ),
        ("7:M 05 Jan 2026 10:00:00.958 * Ready to accept connections", "9:C 05 Jan 2026 10:00:01.0 # Write error"),
    ],
)
def test_what_was_got_over_before_or_written_by_others_is_no_reason(lines: tuple[str, ...], tmp_path: Path) -> None:
    assert exit_reason(ended(tmp_path, *lines, pid=7)) == SILENT


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("working", "ConfigurationError: no such thing"), "ConfigurationError: no such thing"),
        (
            (
                "10:00 [critical] Unrecoverable error",
                "    Traceback (most recent call last):",
                "    OSError: disk full",
            ),
            "OSError: disk full",
        ),
        (
            (
                f"{POSTGRES} [7] FATAL:  could not write lock file: No space left on device",
                f"{POSTGRES} [7] LOG:  database system is shut down",
            ),
            f"{POSTGRES} [7] FATAL:  could not write lock file: No space left on device",
        ),
        (
            (
                f"{POSTGRES} [9] PANIC:  could not locate a valid checkpoint record",
                f"{POSTGRES} [7] LOG:  aborting startup due to startup process failure",
                f"{POSTGRES} [7] LOG:  database system is shut down",
            ),
            f"{POSTGRES} [9] PANIC:  could not locate a valid checkpoint record",
        ),
    ],
)
def test_what_a_part_complained_of_with_its_last_words_is_the_reason(
    lines: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    assert exit_reason(ended(tmp_path, *lines, pid=7)) == said


def test_a_line_from_before_the_last_moments_is_no_last_word(tmp_path: Path) -> None:
    one = ended(tmp_path, "[E 260105 web:1] ValueError: one request, answered long ago")
    assert exit_reason(one, log_size(one)) == SILENT
    assert "ValueError" in exit_reason(one, log_size(one) + 1), (
        "a log that was cut meanwhile is read from its beginning"
    )


def test_who_was_killed_said_nothing_however_its_log_ends(tmp_path: Path) -> None:
    one = ran(tmp_path, f"import os; print('FATAL: got over', flush=True); os.kill(os.getpid(), {signal.SIGKILL:d})")
    assert exit_reason(one) == "killed by signal 9"


def test_who_ended_by_itself_tells_its_exit_code_and_its_complaint(tmp_path: Path) -> None:
    assert exit_reason(ran(tmp_path, "raise SystemExit('OSError: no room')")) == "exit code 1, OSError: no room"
    program = "print('OSError: no room'); print('one more line'); raise SystemExit(3)"
    assert exit_reason(ran(tmp_path, program)) == "exit code 3, OSError: no room"


@pytest.mark.integration
def test_a_killed_postgresql_is_not_explained_by_what_its_sessions_write_as_they_end(home: Path, clients: type) -> None:
    """Nobody here knows how it ended: the supervisor of ``up --detach`` did not start it."""
    script = f"from pathlib import Path; from fintrack_tasks.embedded import Stack; Stack(Path({str(home)!r})).start()"
    subprocess.run([sys.executable, "-c", script], check=True)
    stack = Stack(home)
    session = clients(stack.environment()).postgres()
    os.kill(stack.servers()["postgres"].process.pid, signal.SIGKILL)
    until = time.monotonic() + 30
    while "postmaster exit" not in (home / "logs" / "postgres.log").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    session.close()
    assert exit_reason(stack.ended()["postgres"]) == SILENT
