"""Stored bars of one instrument: as columns, raw or adjusted, with their span, currency and sources.

Longer bars made of these are in :mod:`fintrack_tasks.queries.aggregate`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import psycopg
from sqlalchemy import ColumnElement, FromClause, Select, func, null, select

from fintrack_tasks.domain import Interval, to_micros
from fintrack_tasks.queries import relations, views
from fintrack_tasks.queries.execute import fetch_all, fetch_one, fetch_tuples

__all__ = ["COLUMNS", "currency", "daily_bars", "read_columns", "sources", "span"]

COLUMNS: Final = ("timestamp", "open", "high", "low", "close", "adj_close", "volume", "is_final")

_raw: Final = relations.bars.c
_adjusted: Final = views.historical_market_data_adjusted.c
_CELLS: Final[dict[str, tuple[FromClause, tuple[ColumnElement[Any], ...]]]] = {
    "none": (relations.bars, (_raw.open, _raw.high, _raw.low, _raw.close, _raw.adj_close, _raw.volume)),
    "splits": (
        views.historical_market_data_adjusted,
        (
            *(_adjusted.split_open, _adjusted.split_high, _adjusted.split_low, _adjusted.split_close),
            *(null(), _adjusted.split_volume),
        ),
    ),
    "all": (
        views.historical_market_data_adjusted,
        (
            *(_adjusted.total_open, _adjusted.total_high, _adjusted.total_low, _adjusted.total_close),
            *(null(), _adjusted.split_volume),
        ),
    ),
}
"""For each adjustment the relation to read, and its columns for ``open`` to ``volume`` of :data:`COLUMNS`."""


def select_columns(
    instrument_id: int, interval: Interval, start: datetime | None, end: datetime | None, adjust: str
) -> Select[Any]:
    """The statement of :func:`read_columns`."""
    relation, cells = _CELLS[adjust]
    own = relation.c
    statement = select(own.timestamp, *cells, own.is_final).where(
        own.instrument_id == instrument_id, own.interval == interval.value
    )
    if start is not None:
        statement = statement.where(own.timestamp >= start)
    if end is not None:
        statement = statement.where(own.timestamp < end)
    return statement.order_by(own.timestamp)


def read_columns(
    conn: psycopg.Connection,
    instrument_id: int,
    interval: Interval,
    start: datetime | None = None,
    end: datetime | None = None,
    adjust: str = "none",
) -> dict[str, list[Any]]:
    """The bars from ``start`` on and before ``end``, oldest first, by the columns of :data:`COLUMNS`.

    Times are microseconds since 1970 (UTC), prices and volumes ``Decimal`` or ``None``.

    :param adjust: ``none``, ``splits``, or ``all`` for splits and dividends; an adjusted price is ``None`` where the
        factor of a dividend is not known.
    """
    rows = fetch_tuples(conn, select_columns(instrument_id, interval, start, end, adjust))
    columns = [list(cells) for cells in zip(*rows, strict=True)] or [[] for _ in COLUMNS]
    found = dict(zip(COLUMNS, columns, strict=True))
    return found | {"timestamp": [to_micros(stamp) for stamp in found["timestamp"]]}


def daily_bars(conn: psycopg.Connection, symbol: str) -> list[dict[str, Any]]:
    """The raw daily bars of a symbol as dicts, oldest first, prices as ``Decimal``."""
    bar = views.historical_market_data.c
    return fetch_all(
        conn,
        select(bar.timestamp, bar.open, bar.high, bar.low, bar.close, bar.adj_close, bar.volume)
        .where(bar.symbol == symbol, bar.interval == Interval.D1.value)
        .order_by(bar.timestamp),
    )


def currency(conn: psycopg.Connection, instrument_id: int, interval: Interval) -> str | None:
    """The currency of the newest bar's prices; ``None`` when no provider named one."""
    known = relations.instruments.c
    row = fetch_one(
        conn,
        select(func.coalesce(_raw.currency, known.currency).label("currency"))
        .join(relations.instruments, known.id == _raw.instrument_id)
        .where(_raw.instrument_id == instrument_id, _raw.interval == interval.value)
        .order_by(_raw.timestamp.desc())
        .limit(1),
    )
    return row["currency"] if row else None


def sources(
    conn: psycopg.Connection, instrument_id: int, interval: Interval, start: datetime, end: datetime
) -> list[str]:
    """The providers of the bars from ``start`` to ``end``, both included, by name."""
    rows = fetch_tuples(
        conn,
        select(_raw.source)
        .distinct()
        .where(
            _raw.instrument_id == instrument_id,
            _raw.interval == interval.value,
            _raw.timestamp.between(start, end),
        )
        .order_by(_raw.source),
    )
    return [source for (source,) in rows]


def span(conn: psycopg.Connection, instrument_id: int, interval: Interval) -> tuple[datetime, datetime] | None:
    """The times of the first and the last stored bar; ``None`` when there is none."""
    row = fetch_one(
        conn,
        select(func.min(_raw.timestamp).label("first"), func.max(_raw.timestamp).label("last")).where(
            _raw.instrument_id == instrument_id, _raw.interval == interval.value
        ),
    )
    return (row["first"], row["last"]) if row and row["first"] else None
