"""A quote is loaded with its event and the end of its item, or not at all; a second load changes nothing."""

from __future__ import annotations

import threading
from decimal import Decimal

import psycopg
import pytest

from fintrack_tasks.domain import Event
from fintrack_tasks.store import Database
from fintrack_tasks.store.quotes import load_quote
from tests.store.items import NOW, event, make_run, quote

pytestmark = pytest.mark.integration

EXACT = ["0.000000059", "123456789012345", "75.0875015258789", "1e-9", "0.1", "99999.9999999999", "246.28000000"]


def rows(conn: psycopg.Connection, table: str) -> int:
    return int(conn.execute(f"SELECT count(*) FROM fintrack.{table}").fetchone()[0])  # type: ignore[index, arg-type]


@pytest.mark.parametrize("price", EXACT)
def test_a_quotes_decimals_arrive_unchanged(conn: psycopg.Connection, price: str) -> None:
    _, [item] = make_run(conn, ["BTC-USD"])
    assert load_quote(conn, item, quote(item, price, volume=price, bid=price), event(item), NOW)
    found = conn.execute("SELECT price, volume, bid, timestamp, currency, source FROM market_data").fetchone()
    assert found == (Decimal(price), Decimal(price), Decimal(price), NOW, "USD", "coinbase")


def test_microseconds_arrive_unchanged(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["BTC-USD"])
    at = NOW.replace(microsecond=506_997)
    load_quote(conn, item, quote(item, at=at), event(item), NOW)
    assert conn.execute("SELECT timestamp FROM market_data").fetchone() == (at,)


def test_loading_a_quote_twice_is_loading_it_once(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["BTC-USD"])
    assert load_quote(conn, item, quote(item), event(item), NOW) is True
    assert load_quote(conn, item, quote(item, "1"), event(item), NOW) is False
    assert conn.execute("SELECT price FROM market_data").fetchall() == [(Decimal("246.28"),)]
    assert (rows(conn, "outbox"), rows(conn, "quotes")) == (1, 1)


def test_two_items_with_one_price_time_leave_one_row_and_two_events(conn: psycopg.Connection) -> None:
    _, [first] = make_run(conn, ["AAPL"])
    _, [second] = make_run(conn, ["AAPL"])
    assert load_quote(conn, first, quote(first), event(first), NOW)
    assert load_quote(conn, second, quote(second), event(second), NOW)
    assert (rows(conn, "quotes"), rows(conn, "outbox")) == (1, 2)


def test_nothing_of_a_load_stays_when_its_event_is_refused(conn: psycopg.Connection) -> None:
    _, [first, second] = make_run(conn, ["AAPL", "MSFT"])
    told = event(first)
    load_quote(conn, first, quote(first), told, NOW)
    with pytest.raises(psycopg.errors.UniqueViolation):
        load_quote(conn, second, quote(second), Event(told.id, "t", "k", "{}"), NOW)
    assert rows(conn, "quotes") == 1
    states = conn.execute("SELECT state FROM fintrack.run_items ORDER BY state").fetchall()
    assert states == [("loaded",), ("queued",)]


def test_a_price_that_is_none_is_refused_by_the_database_itself(conn: psycopg.Connection) -> None:
    _, [item] = make_run(conn, ["AAPL"])
    for price in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.DataError)):
            load_quote(conn, item, quote(item, price), event(item), NOW)
    with pytest.raises(psycopg.errors.DataError):
        load_quote(conn, item, quote(item, "1'); DROP TABLE fintrack.quotes; --"), event(item), NOW)
    assert rows(conn, "quotes") == 0


def test_one_item_loaded_by_many_at_once_is_loaded_once(database: Database) -> None:
    with database.connection() as conn:
        _, [item] = make_run(conn, ["AAPL"])
    done: list[bool] = []

    def work() -> None:
        with database.connection() as mine:
            done.append(load_quote(mine, item, quote(item), event(item), NOW))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [False, False, False, True]
