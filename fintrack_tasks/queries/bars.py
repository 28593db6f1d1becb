"""Stored bars of one instrument as columns, raw or adjusted. Reading only."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import psycopg

from fintrack_tasks.domain import Interval, to_micros

__all__ = ["COLUMNS", "bars", "currency", "sources", "span"]

COLUMNS: Final = ("timestamp", "open", "high", "low", "close", "adj_close", "volume", "is_final")

_FROM: Final = {
    "none": ("open, high, low, close, adj_close, volume", "bars"),
    "splits": (
        "split_open, split_high, split_low, split_close, NULL, split_volume",
        "historical_market_data_adjusted",
    ),
    "all": (
        "total_open, total_high, total_low, total_close, NULL, split_volume",
        "historical_market_data_adjusted",
    ),
}
"""For each adjustment the prices and the volume, and where they stand."""

_READ: Final = """
SELECT timestamp, {columns}, is_final FROM fintrack.{table}
WHERE instrument_id = %(instrument)s AND interval = %(interval)s
  AND timestamp >= coalesce(%(start)s::timestamptz, '-infinity')
  AND timestamp < coalesce(%(end)s::timestamptz, 'infinity')
ORDER BY timestamp
"""
_STATEMENTS: Final = {name: _READ.format(columns=columns, table=table) for name, (columns, table) in _FROM.items()}


def bars(
    conn: psycopg.Connection,
    instrument_id: int,
    interval: Interval,
    start: datetime | None = None,
    end: datetime | None = None,
    adjust: str = "none",
) -> dict[str, list[Any]]:
    """The bars from ``start`` on and before ``end``, oldest first, by the columns of :data:`COLUMNS`.

    Times are microseconds, prices and volumes ``Decimal`` or ``None``.

    :param adjust: ``none``, ``splits``, or ``all`` for splits and dividends; an adjusted price is ``None`` where the
        factor of a dividend is not known.
    """
    values = {"instrument": instrument_id, "interval": interval.value, "start": start, "end": end}
    rows = conn.execute(_STATEMENTS[adjust], values).fetchall()
    columns = [list(cells) for cells in zip(*rows, strict=True)] or [[] for _ in COLUMNS]
    found = dict(zip(COLUMNS, columns, strict=True))
    return found | {"timestamp": [to_micros(stamp) for stamp in found["timestamp"]]}


def currency(conn: psycopg.Connection, instrument_id: int, interval: Interval) -> str | None:
    """What the newest bar's prices are in; ``None`` when nobody said."""
    row = conn.execute(
        "SELECT coalesce(b.currency, i.currency) FROM fintrack.bars b"
        " JOIN fintrack.instruments i ON i.id = b.instrument_id"
        " WHERE b.instrument_id = %s AND b.interval = %s ORDER BY b.timestamp DESC LIMIT 1",
        (instrument_id, interval.value),
    ).fetchone()
    return row[0] if row else None


def sources(
    conn: psycopg.Connection, instrument_id: int, interval: Interval, start: datetime, end: datetime
) -> list[str]:
    """Whom the bars from ``start`` to ``end``, both included, are from, in order of their names."""
    rows = conn.execute(
        "SELECT DISTINCT source FROM fintrack.bars"
        " WHERE instrument_id = %s AND interval = %s AND timestamp BETWEEN %s AND %s ORDER BY source",
        (instrument_id, interval.value, start, end),
    ).fetchall()
    return [source for (source,) in rows]


def span(conn: psycopg.Connection, instrument_id: int, interval: Interval) -> tuple[datetime, datetime] | None:
    """The times of the first and the last stored bar; ``None`` when there is none."""
    row = conn.execute(
        "SELECT min(timestamp), max(timestamp) FROM fintrack.bars WHERE instrument_id = %s AND interval = %s",
        (instrument_id, interval.value),
    ).fetchone()
    return (row[0], row[1]) if row and row[0] else None
