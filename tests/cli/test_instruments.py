"""``fintrack instruments import``: an index by its name, from the sandbox's page, into a real database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fintrack_tasks.sandbox import Running, running
from tests.e2e.harness import fintrack

NOWHERE = {"DB_HOST": "127.0.0.1", "DB_PORT": "1", "WIKIPEDIA_BASE_URL": "http://127.0.0.1:1"}


@pytest.fixture
def sandbox() -> Iterator[Running]:
    with running(seed=7) as server:
        yield server


@pytest.fixture
def where(database_variables: dict[str, str], sandbox: Running) -> dict[str, str]:
    """The variables of the test's own database and sandbox."""
    return {
        **database_variables,
        **sandbox.environment,
    }


def told(home: Path, environment: Mapping[str, str], *words: str) -> dict[str, Any]:
    """The object on the last line of stdout."""
    shown = fintrack(home, "instruments", *words, "--json", environment=environment).stdout
    return dict(json.loads(shown.splitlines()[-1]))


# --- without a database


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "give a FILE or --index NAME"),
        (["list.csv", "--index", "sp500"], 2, "give a FILE or --index NAME"),
        (["--index", "dax"], 2, "no index 'dax'; the indices are sp500"),
        (["--index", ""], 2, "no index ''"),
        (["no-such-file.csv"], 2, "cannot read no-such-file.csv"),
        (["--index", "sp500"], 3, "wikipedia: no connection"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    finished = fintrack(tmp_path, "instruments", "import", *words, check=False, environment=NOWHERE)
    assert finished.returncode == code
    assert said in " ".join(finished.stderr.split())
    assert "Traceback" not in finished.stderr + finished.stdout


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"kind": "html"}, "no table 'constituents' on the page"),
        ({"kind": "status", "status": 503}, "HTTP status 503"),
        ({"kind": "storm429"}, "429 Too Many Requests"),
        ({"kind": "malformed"}, "cut"),
    ],
)
def test_a_page_that_is_none_is_said_before_the_database_is_asked(
    tmp_path: Path, sandbox: Running, fault: dict[str, Any], said: str
) -> None:
    sandbox.control.add_fault(**fault)
    environment = NOWHERE | sandbox.environment
    finished = fintrack(tmp_path, "instruments", "import", "--index", "sp500", check=False, environment=environment)
    assert (finished.returncode, finished.stdout) == (3, "")
    assert said in " ".join(finished.stderr.split())


def test_a_database_that_is_down_is_named(tmp_path: Path, sandbox: Running) -> None:
    environment = NOWHERE | sandbox.environment
    finished = fintrack(tmp_path, "instruments", "import", "--index", "sp500", check=False, environment=environment)
    assert finished.returncode == 4
    assert "PostgreSQL does not answer" in finished.stderr


# --- with one


@pytest.mark.integration
def test_an_index_is_imported_once_with_names_and_its_new_members_are_counted(
    tmp_path: Path, where: dict[str, str], sandbox: Running
) -> None:
    fintrack(tmp_path, "instruments", "add", "AAPL", "BRK-B", "EUR/USD", environment=where)
    first = told(tmp_path, where, "import", "--index", "sp500")
    assert (first["of"], first["registered"], first["new"]) == ("sp500", 503, 501)
    assert len(first["symbols"]) == 503
    [apple] = [member for member in first["members"] if member["symbol"] == "AAPL"]
    assert apple == {
        "symbol": "AAPL", "name": "Apple Inc.", "sector": "Information Technology", "date_added": "1982-11-30",
    }  # fmt: skip
    listed = {each["symbol"]: each for each in told(tmp_path, where, "list")["instruments"]}
    assert len(listed) == 504
    assert (listed["BRK-B"]["name"], listed["BRK-B"]["asset_class"]) == ("Berkshire Hathaway", "stock")
    assert listed["MCD"]["name"] == "McDonald's"
    assert listed["EURUSD=X"]["asset_class"] == "forex"
    again = fintrack(tmp_path, "instruments", "import", "--index", "sp500", environment=where)
    assert "registered: 503 instruments of sp500, 0 of them new" in " ".join(again.stdout.split())
    assert sandbox.control.requests()["by_provider"] == {"wikipedia": 2}


@pytest.mark.integration
def test_a_cut_page_registers_nobody(tmp_path: Path, where: dict[str, str], sandbox: Running) -> None:
    sandbox.control.add_fault("malformed")
    refused = fintrack(tmp_path, "instruments", "import", "--index", "sp500", check=False, environment=where)
    assert refused.returncode == 3
    assert told(tmp_path, where, "list")["instruments"] == []


@pytest.mark.integration
def test_a_file_is_told_as_an_object_too(tmp_path: Path, where: dict[str, str]) -> None:
    file = tmp_path / "list.csv"
    file.write_text("symbol,name\nAAPL,Apple\nEUR/USD,\nAAPL,Apple\n")
    assert told(tmp_path, where, "import", str(file)) == {
        "of": str(file), "registered": 3, "new": 2, "symbols": ["AAPL", "EURUSD=X", "AAPL"],
    }  # fmt: skip
