"""Whether the registered instruments fit into a tick, and an operator's quotas into those of the providers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fintrack_tasks.cli.quota_warnings import looser_quotas, overcommitted_quotas
from fintrack_tasks.domain import Instrument
from fintrack_tasks.settings import Settings
from tests.e2e.harness import fintrack


def stocks(count: int) -> list[Instrument]:
    return [Instrument.of(f"S{number}") for number in range(count)]


def test_511_stocks_do_not_fit_into_five_minutes_of_100_a_minute() -> None:
    assert overcommitted_quotas(stocks(500), Settings()) == []
    [line] = overcommitted_quotas(stocks(511), Settings())
    assert "511 quotes do not fit into a tick of 5 minutes: yahoo_finance allows 500 (100 per 60 s)" in line
    assert "take 5.1 minutes" in line
    assert "YAHOO_FINANCE_QUOTA" in line


def test_each_class_counts_with_the_provider_that_is_asked_for_it_first() -> None:
    pairs = [Instrument.of(f"C{number}-USD") for number in range(400)]
    assert overcommitted_quotas([*stocks(400), *pairs], Settings()) == []


@pytest.mark.parametrize(
    ("variables", "fits"),
    [
        ({"YAHOO_FINANCE_QUOTA": "200/m"}, True),
        ({"YAHOO_FINANCE_QUOTA": "unlimited"}, True),
        ({"API_RATE_LIMIT": "10"}, False),
        ({"FINTRACK_ROUTE_STOCK": "finnhub", "API_KEY_FINNHUB": "k"}, False),
        ({"FINTRACK_ROUTE_STOCK": "finnhub", "API_KEY_FINNHUB": "k,l"}, True),
        ({"FINTRACK_ROUTE_STOCK": "finnhub"}, True),
    ],
)
def test_settings_keys_and_routes_count(variables: dict[str, str], fits: bool) -> None:
    """511 in five minutes: 300 by one key of 60 a minute, 600 by two; nobody is asked without a key."""
    assert (not overcommitted_quotas(stocks(511), Settings.from_mapping(variables))) is fits


@pytest.mark.integration
def test_an_import_says_so(tmp_path: Path, database_variables: dict[str, str]) -> None:
    file = tmp_path / "list.csv"
    file.write_text("symbol\n" + "".join(f"S{number}\n" for number in range(511)))
    imported = fintrack(tmp_path, "instruments", "import", str(file), environment=database_variables)
    assert "registered: 511 instruments" in imported.stdout
    assert "511 quotes do not fit into a tick of 5 minutes" in imported.stderr
    told = fintrack(tmp_path, "instruments", "import", str(file), "--json", environment=database_variables).stdout
    assert json.loads(told.splitlines()[-1])["notes"][0].startswith("511 quotes")


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, []),
        ({"YAHOO_FINANCE_QUOTA": "200/s"}, ["YAHOO_FINANCE_QUOTA=200/s"]),
        ({"YAHOO_FINANCE_QUOTA": "unlimited", "COINBASE_QUOTA": "200/s"}, ["COINBASE_QUOTA", "YAHOO_FINANCE_QUOTA"]),
        ({"YAHOO_FINANCE_QUOTA": "5/s"}, ["YAHOO_FINANCE_QUOTA=5/s"]),  # 300 a minute
        ({"YAHOO_FINANCE_QUOTA": "200/m"}, ["YAHOO_FINANCE_QUOTA=200/m"]),
        ({"YAHOO_FINANCE_QUOTA": "1/s,60/m", "COINBASE_QUOTA": "10/s"}, []),
        ({"YAHOO_FINANCE_QUOTA": "200/s", "API_RATE_LIMIT": "4"}, []),  # nothing gets past the cap over all
    ],
)
def test_who_lets_a_real_provider_be_asked_more_often_than_its_own_quota_is_told(
    variables: dict[str, str], told: list[str]
) -> None:
    lines = looser_quotas(Settings.from_mapping(variables))
    assert len(lines) == len(told)
    assert all(line.startswith(start) for line, start in zip(lines, told, strict=True))


def test_the_line_names_what_the_provider_allows_and_what_to_do() -> None:
    [line] = looser_quotas(Settings.from_mapping({"YAHOO_FINANCE_QUOTA": "200/s"}))
    assert "5 per 1 s and 100 per 60 s; unset it unless your plan allows that" in line
