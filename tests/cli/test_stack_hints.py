"""A command that does not reach the running stack says where that is, instead of having a second one started."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fintrack_tasks.cli import app, main, stack_hints
from fintrack_tasks.cli.stack import market_variables
from fintrack_tasks.cli.stack_hints import hint, message_with_hint, refuse_second
from fintrack_tasks.domain import Mode
from fintrack_tasks.embedded import Stack
from fintrack_tasks.embedded.process import find_homes, kill, launch
from fintrack_tasks.embedded.state import PersistentState, ServerState, StackState
from fintrack_tasks.errors import OutageError, UsageError
from tests.e2e.harness import fintrack


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """The folder of a simulated stack of which a process lives; its servers' ports answer nobody."""
    home = tmp_path / "project" / ".fintrack"
    home.mkdir(parents=True)
    PersistentState.read(home / "servers.json").write(home / "servers.json")
    argv = [sys.executable, "-c", "import time; time.sleep(120)"]
    process = launch("fetch1", argv, home=home, env={}, log=home / "log")
    ports = {"postgres": 1, "valkey": 2, "kafka": 3}
    servers = {name: ServerState(process, port, "1") for name, port in ports.items()}
    StackState(servers, (process,), market_variables(4), Mode.SIMULATED).write(home / "stack.json")
    Stack(home).add_environment({})
    yield home
    kill([process.pid])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another folder, which is where the commands are given, in a shell that names no stack and no server."""
    for name in [name for name in os.environ if name.startswith(("FINTRACK_", "DB_", "REDIS_", "KAFKA_"))]:
        monkeypatch.delenv(name)
    # Other stacks may run on this machine, those of other tests among them.
    monkeypatch.setattr(stack_hints, "find_homes", lambda: {each for each in find_homes() if tmp_path in each.parents})
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_from_another_folder_the_stack_that_runs_is_named(running: Path, here: Path) -> None:
    assert hint() == f"a stack runs in {running}; name it: export FINTRACK_HOME={running}"
    said = message_with_hint(OutageError("PostgreSQL", "localhost:5432"))
    assert said == f"PostgreSQL does not answer at localhost:5432; {hint()}"
    assert "fintrack up" not in said


def test_from_another_folder_no_second_stack_is_started_unless_it_is_named(
    running: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=f"a stack runs in {running}; name it: export FINTRACK_HOME="):
        refuse_second(here / ".fintrack")
    refuse_second(running)
    monkeypatch.setenv("FINTRACK_HOME", str(here / "second"))
    refuse_second(here / "second")
    assert hint() is None


def test_where_a_stack_was_before_it_starts_again_whatever_runs_elsewhere(running: Path, here: Path) -> None:
    (here / ".fintrack").mkdir()
    (here / ".fintrack" / "servers.json").write_text("{}")
    refuse_second(here / ".fintrack")


def test_a_dotenv_for_containers_is_named_as_what_hides_the_local_stack(
    running: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(running.parent)
    (running.parent / ".env").write_text("DB_HOST=postgres\nREDIS_URL=redis://:word@redis:6379/0\nDB_PASSWORD=theirs\n")
    said = str(hint())
    assert said.startswith(".env names other servers (DB_HOST, DB_PASSWORD, REDIS_URL) than those of the local stack")
    assert said.endswith('point the shell at it: eval "$(fintrack env)"')
    assert "word" not in said
    assert "theirs" not in said


def test_a_shell_that_was_pointed_at_another_stack_is_told_so(
    running: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINTRACK_HOME", str(running))
    assert hint() is None
    for name in ("DB_PORT", "DB_READER_PASSWORD"):
        monkeypatch.setenv(name, "5999")
        assert str(hint()).startswith(f"this shell names other servers ({name}) than those of the local stack in")
        monkeypatch.delenv(name)


def test_a_command_says_it_in_its_one_line(running: Path) -> None:
    (running.parent / "other").mkdir()
    wrong = {"DB_HOST": "127.0.0.1", "DB_PORT": "9"}
    finished = fintrack(running, "runs", "list", check=False, environment=wrong)
    assert finished.returncode == 4
    assert len(finished.stderr.splitlines()) == 1
    assert "this shell names other servers (DB_PORT)" in finished.stderr


# --- What each command says from another folder ------------------------------------------------------------------


@pytest.fixture
def nowhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server answers where an unnamed one is looked for, whatever runs on this machine."""
    monkeypatch.setenv("DB_PORT", "9")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setenv("COLUMNS", "1000")


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_health_from_another_folder_names_the_stack_and_would_have_no_second_one_started(
    running: Path, nowhere: None, more: tuple[str, ...]
) -> None:
    finished = CliRunner().invoke(app, ["health", *more])
    assert finished.exit_code == 4
    assert finished.stderr == f"{hint()}\n"
    assert "PostgreSQL does not answer at localhost:9" in finished.stdout
    if more:
        checks = json.loads(finished.stdout.splitlines()[-1])["checks"]
        assert checks["database"]["detail"] == f"PostgreSQL does not answer at localhost:9; {hint()}"
    assert "fintrack up" not in finished.stdout + finished.stderr


def test_env_from_another_folder_names_the_stack_and_exports_nothing(
    running: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fintrack", "env"])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr()
    assert ended.value.code == 4
    assert shown.out == ""
    assert shown.err == (
        f"fintrack: the local stack does not answer at {here / '.fintrack'}; a stack runs in {running}; name it: export"
        f" FINTRACK_HOME={running}\n"
    )


def test_a_server_that_may_be_elsewhere_is_not_to_be_started_either(running: Path, here: Path) -> None:
    refused = OutageError("PostgreSQL", "localhost:5432", f"{OutageError.START}; if it runs, it listens elsewhere")
    assert message_with_hint(refused) == f"PostgreSQL does not answer at localhost:5432; {hint()}"
    wrong = OutageError("PostgreSQL", "localhost:5432", "check DB_USER and DB_PASSWORD", "refuses the user")
    assert message_with_hint(wrong) == f"{wrong}; {hint()}"


@pytest.mark.parametrize("command", ["status", "down"])
def test_where_nothing_runs_the_stack_that_does_is_named(command: str, running: Path, here: Path) -> None:
    said = CliRunner().invoke(app, [command]).stdout
    assert said == f"nothing runs in {here / '.fintrack'}; {hint()}\n"


def test_logs_from_another_folder_name_the_stack(running: Path, here: Path) -> None:
    with pytest.raises(UsageError, match=f"there are no logs in .*; a stack runs in {running}; name it: export"):
        CliRunner().invoke(app, ["logs"], catch_exceptions=False)
