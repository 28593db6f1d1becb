"""Bars are loaded exactly, a second load changes nothing, and the former version of a bar that changes is kept."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import product

import psycopg
import pytest

from fintrack_tasks.domain import Batch, Interval, Item, Kind, uuid7
from fintrack_tasks.store import Database, outbox
from fintrack_tasks.store.bars import load_bars
from tests.store.items import DAY, NOW, bars, event, make_run

pytestmark = pytest.mark.integration

EXACT = ["0.000000059", "123456789012345", "75.0875015258789", "1e-9", "0.1", "99999.9999999999", "246.28000000"]


def rows(conn: psycopg.Connection, table: str) -> int:
    return int(conn.execute(f"SELECT count(*) FROM fintrack.{table}").fetchone()[0])  # type: ignore[index, arg-type]


def flat(item: Item, close: str, volume: str | None, source: str = "yahoo_finance") -> Batch:
    return bars(item, [close], source=source).with_columns(volume=[volume])


@pytest.mark.parametrize("kind", [Kind.BARS, Kind.INDEX])
def test_bars_arrive_exactly_and_twice_is_once(conn: psycopg.Connection, kind: Kind) -> None:
    _, [item] = make_run(conn, ["^GSPC"], kind)
    batch = bars(item, EXACT)
    assert load_bars(conn, item, batch, event(item), NOW, [True] * len(EXACT)) is True
    assert load_bars(conn, item, batch, event(item), NOW, [True] * len(EXACT)) is False
    found = conn.execute(
        "SELECT open, high, low, close, adj_close FROM historical_market_data ORDER BY timestamp"
    ).fetchall()
    assert found == [(Decimal(text),) * 5 for text in EXACT]
    assert (rows(conn, "outbox"), rows(conn, "bar_versions")) == (1, 0)
    summary = conn.execute("SELECT state, rows_loaded FROM fintrack.run_items").fetchone()
    assert summary == ("loaded", len(EXACT))


def test_a_bar_that_changes_leaves_what_it_was_with_the_times_between_which_it_was_believed(
    conn: psycopg.Connection,
) -> None:
    _, [first] = make_run(conn, ["AAPL"], Kind.BARS)
    _, [second] = make_run(conn, ["AAPL"], Kind.BARS)
    load_bars(conn, first, bars(first, ["10", "11", "12"]), event(first), NOW, [True] * 3)
    later = NOW + timedelta(hours=5)
    load_bars(conn, second, bars(second, ["10.00", "11.5", "12"]), event(second), later, [True] * 3)
    versions = conn.execute(
        "SELECT close, valid_from, valid_to, item_id, replaced_by FROM fintrack.bar_versions"
    ).fetchall()
    assert versions == [(Decimal(11), NOW, later, first.id, second.id)]
    now = conn.execute("SELECT close, valid_from FROM historical_market_data ORDER BY timestamp").fetchall()
    assert now == [(Decimal(10), NOW), (Decimal("11.5"), later), (Decimal(12), NOW)]


def test_a_final_bar_is_not_replaced_by_a_provisional_one_and_the_other_way_round_it_is(
    conn: psycopg.Connection,
) -> None:
    items = [make_run(conn, ["AAPL"], Kind.BARS)[1][0] for _ in range(3)]
    for item, close, final in zip(items, ["10", "11", "12"], [False, True, False], strict=True):
        assert load_bars(conn, item, bars(item, [close]), event(item), NOW, [final])
    assert conn.execute("SELECT close, is_final FROM historical_market_data").fetchall() == [(Decimal(11), True)]
    assert conn.execute("SELECT close, is_final FROM fintrack.bar_versions").fetchall() == [(Decimal(10), False)]


def test_a_snapshot_never_takes_the_place_of_a_bar_in_which_something_was_traded(conn: psycopg.Connection) -> None:
    """yfinance#1005: a row of four equal prices without volume that is told after the close."""
    cases = list(product(Interval, ["yahoo_finance", "twelve_data"], ["0", None], [True, False]))
    for number, (interval, source, volume, final) in enumerate(cases):
        items = [replace(make_run(conn, [f"S{number}"], Kind.BARS)[1][0], interval=interval) for _ in range(2)]
        wide = bars(items[0], ["10"]).with_columns(high=["11"], low=["9"], volume=["7054483"])
        assert load_bars(conn, items[0], wide, event(items[0]), NOW, [final])
        assert load_bars(conn, items[1], flat(items[1], "10.5", volume, source), event(items[1]), NOW, [True])
    stored = conn.execute("SELECT high, low, close, volume, is_final, symbol FROM historical_market_data").fetchall()
    assert {(row[-1], row[:-1]) for row in stored} == {
        (f"S{number}", (Decimal(11), Decimal(9), Decimal(10), Decimal(7054483), final))
        for number, (_, _, _, final) in enumerate(cases)
    }
    assert rows(conn, "bar_versions") == 0


def test_a_fund_that_is_never_traded_in_a_bar_gets_its_newer_price(conn: psycopg.Connection) -> None:
    items = [make_run(conn, ["VWILX"], Kind.BARS)[1][0] for _ in range(2)]
    for item, close in zip(items, ["40", "40.1"], strict=True):
        assert load_bars(conn, item, flat(item, close, "0"), event(item), NOW, [True])
    assert conn.execute("SELECT close FROM historical_market_data").fetchall() == [(Decimal("40.1"),)]


def test_a_final_bar_of_a_source_that_is_asked_before_stands_and_one_of_the_source_itself_is_corrected(
    conn: psycopg.Connection,
) -> None:
    items = [make_run(conn, ["AAPL"], Kind.BARS)[1][0] for _ in range(4)]
    told = [("yahoo_finance", "10", ()), ("twelve_data", "10.2", ("yahoo_finance",)), ("yahoo_finance", "10.1", ())]
    for item, (source, close, preferred) in zip(items, told, strict=False):
        assert load_bars(conn, item, bars(item, [close], source=source), event(item), NOW, [True], preferred)
    assert conn.execute("SELECT source, close FROM historical_market_data").fetchall() == [
        ("yahoo_finance", Decimal("10.1"))
    ]
    assert conn.execute("SELECT source, close FROM fintrack.bar_versions").fetchall() == [
        ("yahoo_finance", Decimal(10))
    ]
    # What a person asks for anew is taken from whoever answers.
    conn.execute("UPDATE fintrack.runs SET arguments = '{\"refetch\": true}' WHERE id = %s", (items[3].run_id,))
    last = bars(items[3], ["10.3"], source="twelve_data")
    assert load_bars(conn, items[3], last, event(items[3]), NOW, [True], ("yahoo_finance",))
    assert conn.execute("SELECT source, close FROM historical_market_data").fetchall() == [
        ("twelve_data", Decimal("10.3"))
    ]


def test_bars_of_any_year_find_their_partition(conn: psycopg.Connection) -> None:
    for first in (NOW.replace(year=1962), NOW.replace(year=1999, month=12, day=28), NOW.replace(year=2040)):
        _, [item] = make_run(conn, ["IBM"], Kind.BARS)
        assert load_bars(conn, item, bars(item, ["1"] * 8, first=first), event(item), NOW, [True] * 8)
    assert rows(conn, "bars") == 24
    partitions = conn.execute("SELECT tableoid::regclass::text, count(*) FROM fintrack.bars GROUP BY 1")
    assert dict(partitions.fetchall())["bars_other"] == 8


def test_an_indexs_indicators_stand_beside_its_bars(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["^GSPC"], Kind.INDEX)
    names = ("sma_20", "sma_50", "rsi_14", "macd", "macd_signal", "macd_histogram", "volatility_20")
    batch = bars(item, ["10", "11"]).with_columns(**{name: [None, "1.25"] for name in names})
    load_bars(conn, item, batch, event(item), NOW, [True, False])
    found = conn.execute(
        "SELECT symbol, close, sma_20, macd_histogram FROM market_index_data ORDER BY timestamp"
    ).fetchall()
    assert found == [("^GSPC", Decimal(10), None, None), ("^GSPC", Decimal(11), Decimal("1.25"), Decimal("1.25"))]


def test_windows_of_one_symbol_loaded_at_once_keep_their_events_in_order(database: Database) -> None:
    with database.connection() as conn:
        items = [make_run(conn, ["AAPL"], Kind.BARS)[1][0] for _ in range(8)]

    def work(item: object, n: int) -> None:
        with database.connection() as mine:
            batch = bars(items[n], ["1", "2"], first=NOW - n * DAY)
            load_bars(mine, items[n], batch, replace(event(items[n]), id=uuid7(time.time())), NOW, [True, True])

    threads = [threading.Thread(target=work, args=(item, n)) for n, item in enumerate(items)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.connection() as conn:
        assert rows(conn, "outbox") == 8
        assert rows(conn, "bars") == 9
        numbers = [number for number, _ in outbox.pending(conn, 100)]
        assert numbers == sorted(numbers)
