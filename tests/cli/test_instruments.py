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
    made_up = [symbol for symbol in first["symbols"] if symbol.startswith("SBX")]
    assert first["simulated"] is True
    assert (
        f"{len(made_up)} of them are made up, {made_up[0]} to {made_up[-1]}: the local market's list" in first["notes"]
    )
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
def test_without_a_network_an_import_says_in_one_line_what_else_can_be_done(
    tmp_path: Path, where: dict[str, str]
) -> None:
    environment = where | {"WIKIPEDIA_BASE_URL": "http://127.0.0.1:1"}
    refused = fintrack(tmp_path, "instruments", "import", "--index", "sp500", check=False, environment=environment)
    assert refused.returncode == 3
    assert refused.stderr.splitlines()[-1] == (
        "fintrack: wikipedia: no connection; nothing was registered; try again, or name a list of your own: "
        "fintrack instruments import FILE.csv"
    )


@pytest.mark.integration
def test_a_file_is_told_as_an_object_too(tmp_path: Path, where: dict[str, str]) -> None:
    file = tmp_path / "list.csv"
    file.write_text("symbol,name\nAAPL,Apple\nEUR/USD,\nAAPL,Apple\n")
    assert told(tmp_path, where, "import", str(file)) == {
        "of": str(file), "registered": 2, "new": 2, "symbols": ["AAPL", "EURUSD=X"],
    }  # fmt: skip


# --- what a person says of instruments


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["AAPL,stock,USD,NOPE,Apple"], "line 2: no calendar 'NOPE'"),
        (["AAPL,,,,", "MSFT,share,,,"], "line 3: no asset class 'share'"),
        (["AAPL,,GBX,,"], "line 2: no currency 'GBX'"),
        (["AAPL,,,,Ap\x1b[31mple"], "line 2: a name with control characters"),
        (["AAPL,,,,Ap\x00ple"], "line 2: a name with control characters"),
        ([f"AAPL,,,,{'x' * 201}"], "line 2: a name of 201 characters"),
        (["A B,,,,"], "line 2: not a symbol: 'A B'"),
        ([",,,,"], "line 2: not a symbol: ''"),
        (["AAPL,,USD,,", "aapl,,EUR,,"], "line 3: AAPL stands in line 2 with other facts"),
        (["AAPL,,,,Apple,more"], "line 2: more cells than the header has columns"),
        (["A B,,,,", "AAPL,,,NOPE,"], "line 2: not a symbol: 'A B'; line 3: no calendar 'NOPE'"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number_before_a_server_is_asked(
    tmp_path: Path, lines: list[str], said: str
) -> None:
    file = tmp_path / "list.csv"
    file.write_text("\n".join(["symbol,asset_class,currency,calendar,name", *lines]) + "\n", encoding="utf-8")
    finished = fintrack(tmp_path, "instruments", "import", str(file), check=False, environment=NOWHERE)
    shown = " ".join(finished.stderr.split())
    assert finished.returncode == 2
    assert said in shown
    assert "nothing was imported" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "AAPL", "--calendar", "NOPE"], "no calendar 'NOPE'"),
        (["add", "AAPL", "--currency", "EURO"], "no currency 'EURO'"),
        (["edit", "AAPL"], "nothing to change"),
        (["edit", "AAPL", "--name", "a\x1bb"], "control characters"),
        (["edit", "AAPL", "--calendar", "NOPE"], "no calendar 'NOPE'"),
    ],
)
def test_a_wrong_value_is_refused_before_a_server_is_asked(tmp_path: Path, words: list[str], said: str) -> None:
    finished = fintrack(tmp_path, "instruments", *words, check=False, environment=NOWHERE)
    assert finished.returncode == 2
    assert said in " ".join(finished.stderr.split())


@pytest.mark.integration
def test_instruments_are_added_once_edited_paused_resumed_and_removed(
    tmp_path: Path, database_variables: dict[str, str]
) -> None:
    def said(*words: str) -> dict[str, Any]:
        return told(tmp_path, database_variables, *words)

    def state() -> dict[str, tuple[Any, ...]]:
        rows = said("list")["instruments"]
        return {row["symbol"]: (row["state"], row["calendar"], row["currency"], row["name"]) for row in rows}

    added = said("add", "TSLA", "tsla", "NBK.KW")
    assert (added["registered"], added["symbols"], added["without_calendar"]) == (2, ["TSLA", "NBK.KW"], ["NBK.KW"])
    assert state()["NBK.KW"] == ("active", None, None, None)

    said("edit", "NBK.KW", "--calendar", "XSAU", "--currency", "kwd", "--name", "National Bank")
    assert state()["NBK.KW"] == ("active", "XSAU", "KWD", "National Bank")
    said("edit", "NBK.KW", "--calendar", "")
    assert state()["NBK.KW"][1] is None

    assert said("pause", "TSLA", "NBK.KW") == {"paused": ["TSLA", "NBK.KW"], "unchanged": []}
    assert said("pause", "TSLA") == {"paused": [], "unchanged": ["TSLA"]}
    assert state()["TSLA"][0] == "paused"
    assert said("resume", "tsla") == {"resumed": ["TSLA"], "unchanged": []}
    assert state()["TSLA"][0] == "active"

    assert said("remove", "TSLA", "NBK.KW") == {"removed": ["TSLA", "NBK.KW"], "unchanged": []}
    assert not {"TSLA", "NBK.KW"} & state().keys()
    refused = fintrack(tmp_path, "instruments", "remove", "AAPL", "TSLA", check=False, environment=database_variables)
    assert refused.returncode == 2
    assert "not registered: " in refused.stderr
    assert said("add", "NBK.KW")["new"] == 1
    assert state()["NBK.KW"][2:] == ("KWD", "National Bank")
