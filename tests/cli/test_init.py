"""The command line as such: it starts with what a command needs and no more, speaks in one style, and completes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from fintrack_tasks import cli
from fintrack_tasks.cli import quarantine
from fintrack_tasks.domain import uuid7
from fintrack_tasks.pipeline import quarantine as review
from tests.e2e.harness import ROOT, clean_environment

HEAVY = {
    "alembic", "bs4", "celery", "confluent_kafka", "cryptography", "exchange_calendars", "kombu", "lxml", "matplotlib",
    "numpy", "pandas", "prometheus_client", "psutil", "redis", "requests", "sklearn", "structlog", "talib",
}  # fmt: skip
READERS = (
    "aggregate", "backfill", "chart", "database", "explain", "fx", "instruments", "quality", "quarantine", "run",
)  # fmt: skip


def python(code: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words], env={**clean_environment(), **environment}, cwd=ROOT, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip


def fintrack(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return python("from fintrack_tasks.__main__ import main; main()", *words, **environment)


# --- What starts ------------------------------------------------------------------------------------------------------


def test_the_help_imports_no_library_of_any_command() -> None:
    code = (
        "import sys\nfrom fintrack_tasks.cli import main\nsys.argv = ['fintrack', '--help']\ntry: main()\n"
        "except SystemExit: print('MODULES', *sys.modules)"
    )
    said, _, modules = python(code).stdout.partition("MODULES")
    assert all(name in said for name in cli.COMMANDS)
    assert not {*modules.split()} & (HEAVY | {"psycopg", "pydantic", "fintrack_tasks.settings"})


@pytest.mark.parametrize("name", READERS)
def test_a_command_that_reads_the_database_imports_no_other_servers_client(name: str) -> None:
    said = python(f"import sys, fintrack_tasks.cli.{name}\nprint(*sys.modules)").stdout.split()
    assert f"fintrack_tasks.cli.{name}" in said
    assert not {*said} & HEAVY


def test_the_application_is_found_in_the_package_whatever_was_imported_first() -> None:
    code = (
        "import sys, fintrack_tasks\nassert 'celery' not in sys.modules\nimport fintrack_tasks.app\n"
        "from fintrack_tasks import app\nfrom fintrack_tasks.app import app as same\n"
        "assert app is same is fintrack_tasks.app\nprint(type(app).__name__, app.main)"
    )
    shown = python(code)
    assert shown.stdout.split() == ["Celery", "fintrack_tasks"], shown.stderr


def test_each_line_of_the_list_is_the_first_of_the_commands_own_help() -> None:
    group = typer.main.get_command(cli.app)
    for name, (_, line) in cli.COMMANDS.items():
        own = getattr(group, "commands")[name].help  # noqa: B009  Typer's own group has it too, untyped
        assert " ".join(own.split("\n\n")[0].split()) == line


def test_a_word_that_is_written_twice_is_the_same() -> None:
    assert quarantine._REFUSED == review.REFUSED


# --- What is said -----------------------------------------------------------------------------------------------------


def test_the_version_is_the_packages() -> None:
    assert fintrack("--version").stdout == f"fintrack {version('fintrack-tasks')}\n"


@pytest.mark.parametrize("words", [["run", "--help"], ["--help"], ["runs", "list", "-h"], ["db", "--help"]])
def test_a_flag_is_shown_without_a_type(words: list[str]) -> None:
    shown = fintrack(*words, COLUMNS="100")
    assert shown.returncode == 0
    assert "--help" in shown.stdout
    assert "bool" not in shown.stdout.lower()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "missing argument 'job'"),
        (["run", "nonsense"], "'nonsense' is not one of 'market-data', 'historical', 'index-data'"),
        (["run", "historical", "--asset-class", "bond"], "'bond' is not one of 'stock', 'crypto', 'forex', 'index', "),
        (["chart", "AAPL", "--interval", "3d"], "no interval '3d'; there are 1d, 1h, 15m"),
        (["runs", "list", "--limit", "0"], "--limit"),
        (["runs", "list", "--colour"], "no such option: --colour"),
        (["chrt"], "no such command 'chrt'. Did you mean 'chart'"),
        (["run", "historical", "--intervals", "3d"], "no interval '3d'; there are 1d, 1h, 15m"),
    ],
)
def test_a_wrong_command_line_is_one_line_in_one_style(words: list[str], said: str) -> None:
    refused = fintrack(*words)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.startswith("fintrack: ")
    assert refused.stderr.count("\n") == 1
    assert said in refused.stderr


def test_a_group_without_a_command_shows_its_help() -> None:
    shown = fintrack("runs")
    assert shown.returncode == 2
    assert "Usage: fintrack runs" in shown.stdout + shown.stderr


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0.0, 0.05, 0.15, 0.4])
def test_ctrl_c_at_any_moment_of_the_start_is_no_stack_trace(after: float, tmp_path: Path) -> None:
    code = "import sys; sys.stdout.write('.\\n'); sys.stdout.flush(); from fintrack_tasks.__main__ import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "health"], env={**clean_environment(), "FINTRACK_HOME": str(tmp_path)}, cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(after + 0.02)  # the moment itself is what is tried
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert "Traceback" not in said
    assert process.returncode in {-signal.SIGINT, 130, 4}  # 4: it had its answer before


# --- A pipe that nobody reads -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["run", "--help"], ["providers"], ["providers", "--json"], ["--version"]])
def test_output_that_nobody_reads_any_more_is_no_error_of_ours(words: list[str], tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    environment = {**clean_environment(), "FINTRACK_HOME": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", "fintrack_tasks", *words], cwd=ROOT, env=environment, stdout=write,
        stderr=subprocess.PIPE, text=True, check=False, timeout=60,
    )  # fmt: skip
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, "")


# --- Completion -------------------------------------------------------------------------------------------------------


def offered(line: str, **environment: str) -> list[str]:
    """What a shell is offered behind these words."""
    words = line.split(" ")
    shown = fintrack(
        _FINTRACK_COMPLETE="complete_bash", COMP_WORDS="\n".join(words), COMP_CWORD=str(len(words) - 1), **environment
    )
    assert shown.stderr == ""
    return [line.partition("\t")[0] for line in shown.stdout.splitlines() if line]


NOWHERE = {"DB_HOST": "127.0.0.1", "DB_PORT": "1"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("fintrack qua", ["quality", "quarantine"]),
        ("fintrack run ", ["market-data", "historical", "index-data"]),
        ("fintrack run historical --asset-class ", ["stock", "crypto", "forex", "index", "commodity"]),
        ("fintrack run historical --intervals 1d,1", ["1d,1d", "1d,1h", "1d,15m"]),
        ("fintrack chart AAPL --adjust ", ["none", "splits", "all"]),
        ("fintrack quarantine list --rule outside_", ["outside_session"]),
        ("fintrack chart AA", []),
    ],
)
def test_words_are_completed_without_a_server(line: str, words: list[str]) -> None:
    assert offered(line, **NOWHERE) == words


@pytest.mark.integration
def test_symbols_and_runs_are_completed_from_the_database(database_variables: dict[str, str], conn: object) -> None:
    run = uuid7(time.time())
    conn.execute(  # type: ignore[attr-defined]
        "INSERT INTO fintrack.instruments (symbol, asset_class) VALUES ('AAPL', 'stock'), ('AAL', 'stock'),"
        " ('MSFT', 'stock'), ('^GSPC', 'index')"
    )
    conn.execute(  # type: ignore[attr-defined]
        "INSERT INTO fintrack.runs (id, job, arguments, state, created_at)"
        " VALUES (%s, 'fetch_market_data', '{}', 'running', now())",
        (run,),
    )
    assert offered("fintrack chart aa", **database_variables) == []  # what is typed is what a shell replaces
    assert offered("fintrack chart AA", **database_variables) == ["AAL", "AAPL"]
    assert offered("fintrack run historical --symbols MSFT,AA", **database_variables) == ["MSFT,AAL", "MSFT,AAPL"]
    assert offered("fintrack explain ^", **database_variables) == ["^GSPC"]
    assert offered("fintrack runs show ", **database_variables) == [str(run)]
