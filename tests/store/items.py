"""Items, batches and events for the tests of the store and of what stands on it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg

from fintrack_tasks.domain import Batch, Event, Instrument, Interval, Item, Kind, TimeRange, to_micros, uuid7
from fintrack_tasks.store import instruments, runs

NOW = datetime(2024, 5, 6, 15, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def make_run(
    conn: psycopg.Connection, symbols: list[str], kind: Kind = Kind.QUOTE, days: int = 10, now: datetime = NOW
) -> tuple[UUID, list[Item]]:
    """A run in the ledger with one item per symbol."""
    run = uuid7(time.time())
    window = None if kind is Kind.QUOTE else TimeRange(now - days * DAY, now)
    interval = None if kind is Kind.QUOTE else Interval.D1
    known = instruments.ensure(conn, [Instrument.of(symbol) for symbol in symbols])
    items = [Item(uuid7(time.time()), run, kind, known[s][1], known[s][0], interval, window) for s in symbols]
    runs.create_run(conn, run, "fetch_market_data", {"symbols": symbols}, items, now + timedelta(seconds=60), now)
    return run, items


def quote(item: Item, price: str = "246.28000000", at: datetime = NOW, **columns: str | None) -> Batch:
    made = {"timestamp": [to_micros(at)], "price": [price], **{name: [value] for name, value in columns.items()}}
    return Batch(Kind.QUOTE, item.instrument.symbol, "coinbase", made, "USD")


def bars(item: Item, closes: list[str], first: datetime = NOW - 10 * DAY, source: str = "yahoo_finance") -> Batch:
    start = first.replace(hour=0, minute=0, second=0, microsecond=0)
    columns = dict.fromkeys(("open", "high", "low", "close", "adj_close"), closes)
    stamps = [to_micros(start + n * DAY) for n in range(len(closes))]
    made = {"timestamp": stamps, **columns, "volume": ["100"] * len(closes)}
    return Batch(item.kind, item.instrument.symbol, source, made, "USD", Interval.D1)


def event(item: Item) -> Event:
    return Event(uuid7(time.time()), "market-data", item.instrument.symbol, '{"rows": 1}', item.run_id)
