"""The commands without a stack: what is wrong is one line that says what to do, with an exit code of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fintrack_tasks.settings import Settings
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
    for name in ("database", "redis", "kafka", "workers"):
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


@pytest.mark.integration
def test_an_import_is_whole_or_nothing(tmp_path: Path, database_settings: Settings) -> None:
    where = {
        "DB_HOST": database_settings.db_host,
        "DB_PORT": str(database_settings.db_port),
        "DB_NAME": database_settings.db_name,
        "DB_USER": database_settings.db_user,
        "DB_PASSWORD": database_settings.db_password.get_secret_value(),
    }
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
