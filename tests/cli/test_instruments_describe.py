"""``fintrack instruments describe``: names and currencies from a provider's profiles, into a real database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fintrack_tasks.cli.simulated_notice import NOTE
from fintrack_tasks.sandbox import Running, running
from fintrack_tasks.settings import Settings
from tests.e2e.harness import fintrack

pytestmark = pytest.mark.integration


@pytest.fixture
def sandbox() -> Iterator[Running]:
    with running(seed=7) as server:
        yield server


@pytest.fixture
def where(database_settings: Settings, stack: dict[str, str], sandbox: Running) -> dict[str, str]:
    """The variables of the test's own database and sandbox, and of the shared Redis."""
    return {**stack, **sandbox.environment, "DB_NAME": database_settings.db_name, "FINNHUB_QUOTA": "unlimited"}


def test_a_stock_gets_its_name_and_currency_and_an_unknown_one_its_reason(
    tmp_path: Path, where: dict[str, str], conn: psycopg.Connection
) -> None:
    environment = where | {"API_KEY_FINNHUB": "test-key-of-describe"}
    words = ("instruments", "describe", "AAPL", "UNKNOWN1", "--json")
    finished = fintrack(tmp_path, *words, check=False, environment=environment)
    assert finished.returncode == 3
    said = json.loads(finished.stdout.splitlines()[-1])
    assert [(i["symbol"], i["currency"]) for i in said["instruments"]] == [("AAPL", "USD")]
    assert set(said["missing"]) == {"UNKNOWN1"}
    assert said["missing"]["UNKNOWN1"].startswith("unknown_symbol")
    name = said["instruments"][0]["name"]
    assert name
    assert conn.execute("SELECT symbol, name, currency FROM instruments").fetchall() == [("AAPL", name, "USD")]


def test_a_name_that_the_local_market_gave_is_called_simulated(tmp_path: Path, where: dict[str, str]) -> None:
    environment = where | {"API_KEY_FINNHUB": "test-key-of-describe"}
    shown = fintrack(tmp_path, "instruments", "describe", "AAPL", environment=environment).stdout
    assert shown.splitlines()[0].rstrip() == NOTE
    assert shown.count(NOTE) == 1


def test_without_a_key_the_variable_is_named(tmp_path: Path, where: dict[str, str]) -> None:
    finished = fintrack(tmp_path, "instruments", "describe", "AAPL", check=False, environment=where)
    assert finished.returncode == 2
    assert "API_KEY_FINNHUB" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_what_is_no_symbol_is_a_usage_error(tmp_path: Path, where: dict[str, str]) -> None:
    finished = fintrack(tmp_path, "instruments", "describe", "A B", check=False, environment=where)
    assert (finished.returncode, finished.stdout) == (2, "")
