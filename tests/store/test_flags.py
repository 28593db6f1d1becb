"""The marks on a row are those of the newest verdict on it, whoever gave it."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from fintrack_tasks.domain import Finding, Item, Kind
from fintrack_tasks.store import flags
from tests.store.items import NOW, bars, make_run, quote

pytestmark = pytest.mark.integration

LATER = NOW + timedelta(hours=1)


def item_of(conn: psycopg.Connection, kind: Kind = Kind.BARS, symbol: str = "AAPL") -> Item:
    return make_run(conn, [symbol], kind)[1][0]


def found(*rules: str, row: int | None = 0) -> list[Finding]:
    return [Finding(rule, "flag", row, f"{rule} of {row}") for rule in rules]


def marks(conn: psycopg.Connection) -> list[tuple[int, str, str]]:
    """Days since the first, rule and source of each mark."""
    return conn.execute(
        "SELECT extract(day FROM timestamp - min(timestamp) OVER ())::integer, rule, source FROM fintrack.flags"
        " ORDER BY timestamp, source, rule"
    ).fetchall()


def test_marks_that_the_newest_verdict_does_not_find_go_and_others_stay(conn: psycopg.Connection) -> None:
    first, second = item_of(conn), item_of(conn)
    batch = bars(first, ["1", "2", "3"])
    flags.replace(conn, first, batch, [*found("a", "b"), *found("a", row=2)], NOW)
    flags.replace(conn, second, batch.take([0, 1]), found("a", "c"), LATER)
    assert marks(conn) == [(0, "a", "yahoo_finance"), (0, "c", "yahoo_finance"), (2, "a", "yahoo_finance")]
    told = conn.execute("SELECT item_id, created_at FROM fintrack.flags ORDER BY timestamp, rule").fetchall()
    assert told == [(second.id, NOW), (second.id, LATER), (first.id, NOW)]
    flags.replace(conn, second, batch, [], LATER)
    assert marks(conn) == []


def test_a_bar_is_one_for_all_providers_and_a_quote_is_its_own_providers(conn: psycopg.Connection) -> None:
    item, other = item_of(conn), item_of(conn, symbol="MSFT")
    for each in (item, other):
        flags.replace(conn, each, bars(each, ["1", "2"]), found("a", row=None), NOW)
    flags.replace(conn, item, bars(item, ["1"], source="twelve_data"), found("a"), NOW)
    assert marks(conn) == [
        (0, "a", "twelve_data"), (0, "a", "yahoo_finance"), (1, "a", "yahoo_finance"), (1, "a", "yahoo_finance"),
    ]  # fmt: skip
    conn.execute("DELETE FROM fintrack.flags")
    asked = item_of(conn, Kind.QUOTE)
    for source in ("coinbase", "finnhub"):
        batch = quote(asked)
        flags.add(conn, asked, type(batch)(batch.kind, batch.symbol, source, batch.columns), found("stale_quote"), NOW)
    flags.replace(conn, asked, quote(asked), found("price_jump"), NOW)
    assert marks(conn) == [(0, "price_jump", "coinbase"), (0, "stale_quote", "finnhub")]
