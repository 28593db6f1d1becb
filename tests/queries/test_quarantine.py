"""Lists of quarantined rows, from a real database."""

from __future__ import annotations

import psycopg
import pytest

from fintrack_tasks.domain import Finding, Kind
from fintrack_tasks.queries.quarantine import newest_rows
from fintrack_tasks.store import quarantine
from tests.store.items import NOW, bars, make_run

pytestmark = pytest.mark.integration


@pytest.fixture
def held(conn: psycopg.Connection) -> list[int]:
    """Five rows of two symbols, the newest first; each broke ``ohlc``, the third row ``stale_repeat`` as well."""
    _, [apple, microsoft] = make_run(conn, ["AAPL", "MSFT"], Kind.BARS)
    for item, closes in ((apple, ["1", "2", "3"]), (microsoft, ["4", "5"])):
        findings = [Finding("ohlc", "reject", n, "low above close") for n in range(len(closes))]
        if item is apple:
            findings.append(Finding("stale_repeat", "reject", 2, "as before"))
        quarantine.add(conn, item, bars(item, closes), findings, NOW)
    return [row.id for row in newest_rows(conn)]


def test_each_row_comes_once_newest_first_up_to_the_limit(conn: psycopg.Connection, held: list[int]) -> None:
    assert held == sorted(set(held), reverse=True)
    assert len(held) == 5
    for limit in range(1, 7):
        assert [row.id for row in newest_rows(conn, limit=limit)] == held[:limit]


def test_filters_are_applied_before_the_limit(conn: psycopg.Connection, held: list[int]) -> None:
    assert [row.symbol for row in newest_rows(conn, symbol="AAPL", limit=2)] == ["AAPL", "AAPL"]
    [row] = newest_rows(conn, rule="stale_repeat")
    assert row.rules == ["ohlc", "stale_repeat"]
    assert [row.id for row in newest_rows(conn, "held")] == held
    assert newest_rows(conn, "released") == []


@pytest.mark.parametrize("value", ["' OR true --", "%", "%s", "x" * 100_000])
def test_a_filter_is_compared_as_it_stands(value: str, conn: psycopg.Connection, held: list[int]) -> None:
    assert newest_rows(conn, value) == newest_rows(conn, None, value) == newest_rows(conn, None, None, value) == []
