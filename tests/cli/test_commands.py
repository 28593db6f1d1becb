"""The commands without a stack: what is wrong is one line that says what to do, with an exit code of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import pytest
import typer

from fintrack_tasks.cli import app
from fintrack_tasks.store.migrate import head
from tests.e2e.harness import fintrack

NOWHERE = {
    "DB_HOST": "127.0.0.1",
    "DB_PORT": "1",
    "REDIS_URL": "redis://:hidden-away@127.0.0.1:1/0",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "market-data"], 4, "PostgreSQL does not answer at 127.0.0.1:1; start it with: fintrack up --detach"),
        (["runs", "list"], 4, "PostgreSQL does not answer at 127.0.0.1:1"),
        (["instruments", "list"], 4, "PostgreSQL does not answer"),
        (["db", "upgrade"], 4, "PostgreSQL does not answer"),
        (["env"], 4, "the local stack does not answer"),
        (["run", "nonsense"], 2, "nonsense"),
        (["run", "market-data", "--symbols", ""], 2, "the list of symbols is empty"),
        (["run", "historical", "--start", "2024-02-01", "--end", "2024-01-01"], 2, "must be after the start"),
        (["run", "historical", "--intervals", "3d"], 2, "3d"),
        (["instruments", "add", "not a symbol"], 2, "not a symbol"),
        (["instruments", "import", "no-such-file.csv"], 2, "cannot read no-such-file.csv"),
        (["runs", "show", "7"], 2, "not a run's id"),
        (["runs", "show", str(UUID(int=7)), "--state", "banana"], 2, "banana"),
        (["sandbox", "--quota", "yahoo_finance"], 2, "not a quota"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    finished = fintrack(tmp_path, *words, check=False, environment=NOWHERE)
    shown = " ".join(finished.stderr.split())
    assert finished.returncode == code
    assert said in shown
    assert "Traceback" not in finished.stderr + finished.stdout
    assert "hidden-away" not in finished.stderr + finished.stdout


def test_a_state_that_is_none_is_answered_with_those_that_are(tmp_path: Path) -> None:
    refused = fintrack(tmp_path, "runs", "show", str(UUID(int=7)), "--state", "banana", check=False)
    assert refused.returncode == 2
    assert all(state in refused.stderr for state in ("queued", "fetched", "loaded", "empty", "failed"))


def commands(command: click.Command, path: str = "fintrack") -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that call it."""
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, f"{path} {name}")


def test_every_command_and_every_option_says_in_plain_text_what_it_does() -> None:
    found = dict(commands(typer.main.get_command(app)))
    assert len(found) > 15
    for path, command in found.items():
        assert command.help, path
        for text in (command.help, *(getattr(option, "help", "") or "" for option in command.params)):
            assert "`" not in text, path
        for option in command.params:
            if option.name != "help" and "--install-completion" not in option.opts:
                assert getattr(option, "help", None), f"{path} {option.name}"


def test_a_wrong_setting_names_its_variable_and_never_a_secret(tmp_path: Path) -> None:
    wrong = {"DB_PORT": "many", "DB_PASSWORD": "hidden-away"}
    finished = fintrack(tmp_path, "runs", "list", check=False, environment=wrong)
    assert finished.returncode == 2
    assert "DB_PORT" in finished.stderr
    assert "hidden-away" not in finished.stderr


def test_health_names_every_server_that_is_down(tmp_path: Path) -> None:
    finished = fintrack(tmp_path, "health", "--json", check=False, environment=NOWHERE)
    assert finished.returncode == 4
    checks = json.loads(finished.stdout.splitlines()[-1])["checks"]
    for name in ("database", "redis", "kafka", "workers", "beat"):
        assert checks[name]["healthy"] is False
        assert "127.0.0.1:1" in checks[name]["detail"]
        assert "fintrack up" in checks[name]["detail"]
    assert "hidden-away" not in finished.stdout


def test_down_with_nothing_running_is_no_error(tmp_path: Path) -> None:
    assert "nothing runs" in fintrack(tmp_path, "down").stdout


def test_providers_are_listed_without_any_server(tmp_path: Path) -> None:
    listed = json.loads(fintrack(tmp_path, "providers", "--json", environment=NOWHERE).stdout.splitlines()[-1])
    assert {p["name"] for p in listed["providers"]} >= {"yahoo_finance", "coinbase"}
    crypto = [r for r in listed["routes"] if (r["asset_class"], r["kind"]) == ("crypto", "quote")]
    assert crypto[0]["providers"][0] == "coinbase"


@pytest.fixture
def where(database_variables: dict[str, str]) -> dict[str, str]:
    """The variables of the test's own database."""
    return database_variables


@pytest.mark.integration
def test_what_is_changed_is_told_to_machines_too(tmp_path: Path, where: dict[str, str], stack: dict[str, str]) -> None:
    def told(*words: str) -> dict[str, Any]:
        shown = fintrack(tmp_path, *words, "--json", environment={**stack, **where}).stdout
        return dict(json.loads(shown.splitlines()[-1]))

    assert told("instruments", "add", "AAPL", "EUR/USD") == {
        "registered": 2, "new": 2, "symbols": ["AAPL", "EURUSD=X"], "without_calendar": [],
    }  # fmt: skip
    assert told("instruments", "add", "AAPL", "BTC-USD")["new"] == 1
    upgraded = told("db", "upgrade")
    assert upgraded["revision"] == head()
    assert (upgraded["database"], upgraded["port"]) == (where["DB_NAME"], int(where["DB_PORT"]))
    assert told("down") == {"stopped": []}


@pytest.mark.integration
def test_an_import_is_whole_or_nothing(tmp_path: Path, where: dict[str, str]) -> None:
    file = tmp_path / "list.csv"
    file.write_text("symbol,asset_class,name\nAAPL,,Apple\nEUR/USD,,Euro\nno symbol,,\n")
    refused = fintrack(tmp_path, "instruments", "import", str(file), check=False, environment=where)
    assert refused.returncode == 2
    assert "line 4" in refused.stderr
    file.write_text("symbol,asset_class,name\nAAPL,,Apple\nEUR/USD,,Euro\nDAX,index,\n")
    fintrack(tmp_path, "instruments", "import", str(file), environment=where)
    listed = json.loads(fintrack(tmp_path, "instruments", "list", "--json", environment=where).stdout.splitlines()[-1])
    assert [(i["symbol"], i["asset_class"]) for i in listed["instruments"]] == [
        ("EURUSD=X", "forex"),
        ("DAX", "index"),
        ("AAPL", "stock"),
    ]
    for body in ("", "name\nApple\n", "\xff\xfe"):
        file.write_bytes(body.encode("latin-1"))
        assert fintrack(tmp_path, "instruments", "import", str(file), check=False, environment=where).returncode == 2
