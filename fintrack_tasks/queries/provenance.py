"""The lineage behind stored values: item, run, raw answer, former versions and adjustment factors, as dicts.

These are the reads; :mod:`fintrack_tasks.queries.explain` puts them together into what ``fintrack explain`` shows.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    Select,
    Table,
    bindparam,
    case,
    func,
    select,
    true,
    union_all,
)

from fintrack_tasks.domain import Interval
from fintrack_tasks.queries import relations
from fintrack_tasks.queries.execute import fetch_all, fetch_one

__all__ = ["adjusted", "bars_at", "nearest", "quotes_at", "versions"]

_item: Final = relations.run_items.c
_payload: Final = relations.payloads.c
_LINEAGE: Final = (
    _item.id.label("item_id"),
    _item.run_id,
    relations.runs.c.job,
    *(_item.kind, _item.provider, _item.attempts, _item.rows_quarantined),
    *(_item.window_start, _item.window_end, _item.finished_at),
    *(_payload.sha256, _payload.path, _payload.status, _payload.received_at, _payload.size),
    _payload.headers["x-fintrack-origin"].astext.label("origin"),
)
"""The item that wrote a row, its run, and the raw answer that it was read from."""

_INTERVALS: Final = (Interval.D1, Interval.H1, Interval.M15)
_SECOND: Final = timedelta(seconds=1)


def bars_at(conn: psycopg.Connection, instrument_id: int, at: datetime, interval: str | None) -> list[dict[str, Any]]:
    """The bars that open at exactly this time, of one interval or of each, longest first, with their lineage."""
    return fetch_all(conn, select_bars_at(instrument_id, at, interval))


def select_bars_at(instrument_id: int, at: datetime, interval: str | None) -> Select[Any]:
    """The statement of :func:`bars_at`."""
    bar = relations.bars.c
    statement = (
        select(
            *(bar.interval, bar.timestamp, bar.open, bar.high, bar.low, bar.close, bar.adj_close, bar.volume),
            _currency(relations.bars),
            *(bar.is_final, bar.source, bar.adjusted_to, bar.valid_from),
            *_LINEAGE,
        )
        .select_from(_with_lineage(relations.bars))
        .where(bar.instrument_id == instrument_id, bar.timestamp == at)
        .order_by(case({each.value: place for place, each in enumerate(_INTERVALS)}, value=bar.interval))
    )
    return statement if interval is None else statement.where(bar.interval == interval)


def quotes_at(conn: psycopg.Connection, instrument_id: int, at: datetime) -> list[dict[str, Any]]:
    """The quotes of the second that begins at this time, with their lineage and their price in US dollars."""
    return fetch_all(conn, select_quotes_at(instrument_id, at))


def select_quotes_at(instrument_id: int, at: datetime) -> Select[Any]:
    """The statement of :func:`quotes_at`; the fx rate is the newest one known at the quote's time."""
    quote = relations.quotes.c
    rate = (
        func.fintrack.fx_as_of(_currency(relations.quotes), "USD", quote.timestamp)
        .table_valued("rate", "as_of", "source", "path", joins_implicitly=True)
        .lateral("x")
    )
    return (
        select(
            *(quote.timestamp, quote.price, quote.volume),
            _currency(relations.quotes),
            *(quote.previous_close, quote.source, quote.received_at.label("known_since")),
            rate.c.rate.label("usd_rate"),
            rate.c.as_of.label("usd_rate_as_of"),
            rate.c.source.label("usd_rate_source"),
            rate.c.path.label("usd_rate_path"),
            (quote.price * rate.c.rate).label("price_usd"),
            *_LINEAGE,
        )
        .select_from(_with_lineage(relations.quotes).outerjoin(rate, true()))
        .where(quote.instrument_id == instrument_id, quote.timestamp >= at, quote.timestamp < at + _SECOND)
        .order_by(quote.timestamp, quote.source)
    )


def _currency(values: Table) -> ColumnElement[Any]:
    return func.coalesce(values.c.currency, relations.instruments.c.currency).label("currency")


def _with_lineage(values: Table) -> FromClause:
    return (
        values.join(relations.instruments, relations.instruments.c.id == values.c.instrument_id)
        .outerjoin(relations.run_items, _item.id == values.c.item_id)
        .outerjoin(relations.runs, relations.runs.c.id == _item.run_id)
        .outerjoin(relations.payloads, _payload.sha256 == _item.payload_sha)
    )


def versions(conn: psycopg.Connection, instrument_id: int, interval: str, at: datetime) -> list[dict[str, Any]]:
    """The former versions of a bar, oldest first, each with the span of time in which it was believed."""
    was = relations.bar_versions.c
    return fetch_all(
        conn,
        select(
            *(was.open, was.high, was.low, was.close, was.adj_close, was.volume, was.currency, was.is_final),
            *(was.source, was.adjusted_to, was.item_id, was.valid_from, was.valid_to, was.replaced_by),
        )
        .where(was.instrument_id == instrument_id, was.interval == interval, was.timestamp == at)
        .order_by(was.valid_to),
    )


def adjusted(conn: psycopg.Connection, instrument_id: int, interval: str, at: datetime) -> dict[str, Any] | None:
    """A bar's adjustment factors and adjusted values."""
    own = relations.adjusted_bars.c
    return fetch_one(
        conn,
        select(
            *(own.split_factor, own.dividend_factor),
            *(own.split_open, own.split_high, own.split_low, own.split_close, own.split_volume),
            *(own.total_open, own.total_high, own.total_low, own.total_close),
        ).where(own.instrument_id == instrument_id, own.interval == interval, own.timestamp == at),
    )


def nearest(conn: psycopg.Connection, instrument_id: int, at: datetime) -> datetime | None:
    """The time nearest to a moment at which there is a bar or a quote; ``None`` where there is none at all."""
    row = fetch_one(conn, select_nearest(instrument_id, at))
    return row["timestamp"] if row else None


def select_nearest(instrument_id: int, at: datetime) -> Select[Any]:
    """The statement of :func:`nearest`: four reads of an index, the last before and the first after, each limited."""
    moment: BindParameter[datetime] = bindparam("at", at, unique=True)
    parts = []
    for values in (relations.bars, relations.quotes):
        own = values.c
        mine = select(own.timestamp).where(own.instrument_id == instrument_id).limit(1)
        parts += [
            mine.where(own.timestamp <= moment).order_by(own.timestamp.desc()).subquery(),
            mine.where(own.timestamp > moment).order_by(own.timestamp).subquery(),
        ]
    found = union_all(*(select(part.c.timestamp) for part in parts)).subquery("found")
    distance = func.greatest(found.c.timestamp - moment, moment - found.c.timestamp)
    return select(found.c.timestamp).order_by(distance).limit(1)
