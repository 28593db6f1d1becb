"""Logs of a local stack: bounded while their writers go on, read from their end, followed across a cut."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fintrack_tasks.embedded import logs, process


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path


def said(home: Path, name: str = "etl1") -> str:
    """All that is kept of a log, oldest first."""
    parts = sorted((home / "logs").glob(f"{name}.log*"), key=lambda path: path.name, reverse=True)
    return "".join(part.read_text() for part in parts)


def test_a_log_within_its_limit_stays(home: Path) -> None:
    (home / "logs" / "etl1.log").write_text("a line\n")
    assert logs.rotate_oversized(home, limit=7) == []
    assert said(home) == "a line\n"


def test_what_has_grown_is_kept_twice_and_then_goes(home: Path) -> None:
    log = home / "logs" / "etl1.log"
    for text in ("one\n", "two\n", "three\n", "four\n"):
        log.write_text(text)
        assert logs.rotate_oversized(home, limit=1) == ["etl1"]
    assert log.read_text() == ""
    assert said(home) == "three\nfour\n"
    assert {path.name for path in log.parent.iterdir()} == {"etl1.log", "etl1.log.1", "etl1.log.2"}
    assert (log.parent / "etl1.log.1").stat().st_mode & 0o077 == 0


def test_a_process_that_writes_all_the_time_stays_within_bounds_and_loses_no_line_but_of_the_moment(home: Path) -> None:
    code = "import os, itertools\nfor n in range(60_000): os.write(1, b'%07d\\n' % n)"
    state = process.launch("talker", [sys.executable, "-c", code], home=home, env=dict(os.environ),
                           log=home / "logs" / "talker.log")  # fmt: skip
    largest, deadline = 0, time.monotonic() + 60
    seen: set[int] = set()
    while state.running and time.monotonic() < deadline:
        largest = max(largest, (home / "logs" / "talker.log").stat().st_size)
        logs.rotate_oversized(home, limit=50_000)
        seen |= {int(line) for line in said(home, "talker").split() if line.isdigit() and len(line) == 7}
    seen |= {int(line) for line in said(home, "talker").split() if line.isdigit() and len(line) == 7}
    assert not state.running
    assert 59_999 in seen
    assert len(seen) > 30_000  # most of it: the test reads no faster than it can
    assert sum(path.stat().st_size for path in (home / "logs").iterdir()) < 480_000  # of all that was written


def test_without_room_for_a_copy_the_log_is_cut_all_the_same(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(logs.shutil, "copyfileobj", full)
    (home / "logs" / "etl1.log").write_text("a long line\n")
    assert logs.rotate_oversized(home, limit=1) == ["etl1"]
    assert said(home) == ""
    assert [path.name for path in (home / "logs").iterdir()] == ["etl1.log"]


@pytest.mark.parametrize("count", [0, 1, 3, 5, 100])
def test_the_last_lines_are_found_across_a_cut(home: Path, count: int) -> None:
    log = home / "logs" / "etl1.log"
    log.with_name("etl1.log.1").write_text("one\ntwo\nthree\n")
    log.write_text("four\nfive\n")
    assert logs.last_lines(log, count) == (["one", "two", "three", "four", "five"][-count:] if count else [])


def test_the_last_lines_of_a_long_log_are_read_from_its_end(home: Path) -> None:
    log = home / "logs" / "etl1.log"
    log.write_text("".join(f"{number} {'x' * 100}\n" for number in range(5000)))
    assert [line.split()[0] for line in logs.last_lines(log, 1500)] == [str(n) for n in range(3500, 5000)]


def test_a_log_is_followed_by_whole_lines_and_across_a_cut(home: Path) -> None:
    log = home / "logs" / "etl1.log"
    log.write_text("before\n")
    written = iter(["first\nhal", "f\n", None, "after\n"])

    def pause() -> None:
        text = next(written)
        if text is None:
            os.truncate(log, 0)
        else:
            with log.open("a") as file:
                file.write(text)

    following = logs.follow({"etl1": log}, wait=pause)
    assert [next(following) for _ in range(3)] == [("etl1", ["first"]), ("etl1", ["half"]), ("etl1", ["after"])]


def test_the_command_shows_and_follows(home: Path) -> None:
    from tests.e2e.harness import ROOT, clean_environment, fintrack

    assert "there are no logs" in fintrack(home, "logs", check=False).stderr
    for name in ("beat", "etl1"):
        (home / "logs" / f"{name}.log").write_text(f"{name} one\n{name} \x1b[2Jtwo\n")
    assert fintrack(home, "logs", "-n", "1").stdout == "beat | beat \\x1b[2Jtwo\netl1 | etl1 \\x1b[2Jtwo\n"
    assert fintrack(home, "logs", "beat").stdout == "beat one\nbeat \\x1b[2Jtwo\n"
    unknown = fintrack(home, "logs", "etl9", check=False)
    assert (unknown.returncode, "there are beat, etl1" in unknown.stderr) == (2, True)
    following = subprocess.Popen(
        [sys.executable, "-m", "fintrack_tasks", "logs", "-f", "-n", "1", "beat"], cwd=ROOT, text=True,
        env={**clean_environment(), "FINTRACK_HOME": str(home)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert following.stdout is not None
    try:
        assert "two" in following.stdout.readline()
        time.sleep(0.5)  # it begins to follow behind what it has shown
        with (home / "logs" / "beat.log").open("a") as log:
            log.write("three\n")
        assert following.stdout.readline() == "three\n"
    finally:
        following.send_signal(2)
        _, complaint = following.communicate(timeout=20)
    assert following.returncode == 130
    assert complaint == "fintrack: interrupted\n"
