"""What the checks are told: stored bars in the batch's unit, the calendar, splits as bars are stamped."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from fintrack_tasks.domain import AssetClass, Batch, Instrument, Item, Kind, to_micros, uuid7
from fintrack_tasks.evidence import gather
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database, load
from fintrack_tasks.validate import Limits
from tests.store.items import DAY, NOW, bars, event, make_run, quote

pytestmark = pytest.mark.integration
LIMITS = Limits()


def stored(conn: psycopg.Connection, closes: list[str], first: datetime, currency: str, source: str) -> Item:
    _, [item] = make_run(conn, ["VOD.L"], Kind.BARS)
    batch = replace(bars(item, closes, first, source), currency=currency)
    assert load.load_bars(conn, item, batch, event(item), NOW, [True] * len(closes))
    return item


def test_bars_are_told_of_those_before_them_and_of_other_providers(
    conn: psycopg.Connection, database: Database
) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    stored(conn, [f"{n + 1}" for n in range(70)], start, "GBP", "a")
    item = stored(conn, ["71", "72"], start + 70 * DAY, "GBP", "b")
    batch = replace(bars(item, ["7100", "7200", "7300"], start + 70 * DAY, "a"), currency="GBp")
    context = gather(item, batch, database=database, now=NOW, limits=LIMITS)
    assert context.before is not None
    assert context.before.close.tolist() == [100.0 * n for n in range(10, 71)]  # in pence, as the batch has them
    assert context.before.timestamp[-1] == to_micros(start + 69 * DAY)
    assert context.before.volume.tolist() == [100.0] * 61
    assert context.stored is not None
    assert (context.stored.close.tolist(), context.stored.source) == ([7100.0, 7200.0], ("b", "b"))
    assert context.hours is not None
    assert context.hours.dates[-1] > to_micros(NOW)
    same = gather(item, replace(batch, source="b"), database=database, now=NOW, limits=LIMITS)
    assert same.stored is not None
    assert len(same.stored.timestamp) == 0


def test_bars_in_another_currency_are_not_compared(conn: psycopg.Connection, database: Database) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    item = stored(conn, ["1", "2"], start, "EUR", "a")
    batch = replace(bars(item, ["7100"], start + 2 * DAY), currency="USD")
    context = gather(item, batch, database=database, now=NOW, limits=LIMITS)
    assert context.before is not None
    assert len(context.before.close) == 0


def test_splits_apply_from_the_session_that_they_open() -> None:
    """Sydney's session of the 15th of January opens on the 14th at 23:00 UTC."""
    item = Item(uuid7(), uuid7(), Kind.BARS, Instrument.of("BHP.AX"), 1)
    opens = to_micros(datetime(2024, 1, 14, 23, 0, tzinfo=UTC))
    told = {"zone": "Australia/Sydney", "splits": [[opens, "2", "1"], [opens, "1", "0"]]}
    from fintrack_tasks.domain import Interval
    from fintrack_tasks.evidence import _splits

    batch = replace(bars(replace(item, interval=Interval.D1), ["1"]), meta=told)
    assert list(_splits(batch, Interval.D1)) == [(to_micros(datetime(2024, 1, 15, tzinfo=UTC)), 2.0)]
    assert list(_splits(batch, Interval.H1)) == [(opens, 2.0)]
    assert list(_splits(replace(batch, meta={}), Interval.D1)) == []


def test_a_fresh_quote_costs_no_query_and_no_calendar() -> None:
    nowhere = Database(Settings.from_mapping({"DB_HOST": "127.0.0.1", "DB_PORT": "1"}))
    item = Item(uuid7(), uuid7(), Kind.QUOTE, Instrument.of("AAPL"), 1)
    fresh, old = quote(item, at=NOW - timedelta(minutes=59)), quote(item, at=NOW - timedelta(minutes=61))
    assert gather(item, fresh, database=nowhere, now=NOW, limits=LIMITS).hours is None
    context = gather(item, old, database=nowhere, now=NOW, limits=LIMITS)
    assert context.asset_class is AssetClass.STOCK
    assert context.hours is not None
    lost = replace(item, instrument=replace(item.instrument, calendar="no such"))
    assert gather(lost, old, database=nowhere, now=NOW, limits=LIMITS).hours is None


def test_stamps_that_are_no_times_ask_for_nothing() -> None:
    nowhere = Database(Settings.from_mapping({"DB_HOST": "127.0.0.1", "DB_PORT": "1"}))
    _, item = uuid7(), Item(uuid7(), uuid7(), Kind.BARS, Instrument.of("AAPL"), 1)
    batch = Batch(Kind.BARS, "AAPL", "x", {"timestamp": [None, "today", 10**30]})
    assert gather(item, batch, database=nowhere, now=NOW, limits=LIMITS).before is None
