"""What ``fintrack explain`` shows: where a stored value comes from, its former versions, and what adjusts it.

The lineage of a value is the item that wrote it, the item's run, and the provider's raw answer.
"""

from __future__ import annotations

from collections.abc import Mapping
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

from fintrack_tasks.domain import Instrument, Interval, Kind, TimeRange, to_micros
from fintrack_tasks.errors import ProviderError, StoreError, UsageError
from fintrack_tasks.fetch import providers
from fintrack_tasks.fetch.providers.base import Ask, HttpResponse
from fintrack_tasks.queries import corporate_actions, relations, views
from fintrack_tasks.queries.execute import fetch_all, fetch_one
from fintrack_tasks.store import payloads

__all__ = ["explain_values", "nearest_time"]

_DAY: Final = timedelta(days=1)
_ITEM_FIELDS: Final = ("item_id", "run_id", "job", "provider", "attempts", "rows_quarantined", "finished_at")
_PAYLOAD_FIELDS: Final = ("sha256", "path", "status", "received_at", "size", "origin")
_LINEAGE_FIELDS: Final = frozenset((*_ITEM_FIELDS, *_PAYLOAD_FIELDS, "kind", "window_start", "window_end"))
"""The columns of a read that describe its lineage; the others are the stored values."""

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


def explain_values(
    conn: psycopg.Connection,
    instrument_id: int,
    instrument: Instrument,
    at: datetime,
    interval: Interval | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """The ``bars`` that open at a time and the ``quotes`` of its second, each with its lineage.

    - the stored values, their source and since when they are known;
    - ``item``: the item and run that loaded them; ``payload``: the raw answer's hash, path and time, and from the local
      market its ``origin``, where the prices come from, ``None`` when it is no longer kept; ``provider_row``: the row
      and its currency as the raw answer has them, in the provider's unit;
    - of a bar also ``revisions``: its former versions, oldest first; ``adjusted``: its adjustment factors and adjusted
      values; ``actions``: each split, dividend and capital gain of a later ex-date with its factor, and ``applied``,
      false for a split for which the provider has already restated the bar.

    :param interval: bars of this interval alone, and no quotes.
    """
    bars = [_explained_bar(conn, instrument_id, instrument, row) for row in _bars_at(conn, instrument_id, at, interval)]
    quotes = [] if interval else [_explained(conn, instrument, row) for row in _quotes_at(conn, instrument_id, at)]
    return {"bars": bars, "quotes": quotes}


def _explained_bar(
    conn: psycopg.Connection, instrument_id: int, instrument: Instrument, row: dict[str, Any]
) -> dict[str, Any]:
    interval, at, restated = row["interval"], row["timestamp"], row["adjusted_to"]
    adjusted = _adjusted_values(conn, instrument_id, interval, at)
    later = [
        action
        for action in corporate_actions.factors_after(conn, instrument_id, (at - _DAY).date())
        if (action["ex_date"] > at.date() if interval == Interval.D1 else action["effective_at"] > at)
    ]
    for action in later:
        action["applied"] = action["kind"] != "split" or restated is None or action["ex_date"] > restated
    return {
        **_explained(conn, instrument, row),
        "revisions": _former_versions(conn, instrument_id, interval, at),
        "adjusted": adjusted,
        "actions": later,
    }


def _explained(conn: psycopg.Connection, instrument: Instrument, row: dict[str, Any]) -> dict[str, Any]:
    """The stored values of a row, and its lineage as ``item``, ``payload`` and ``provider_row``."""
    payload = {name: row[name] for name in _PAYLOAD_FIELDS} if row["sha256"] else None
    if payload:
        payload["sha256"] = payload["sha256"].hex()
    return {
        **{name: value for name, value in row.items() if name not in _LINEAGE_FIELDS},
        "item": {name: row[name] for name in _ITEM_FIELDS} if row["item_id"] else None,
        "payload": payload,
        "provider_row": _provider_row(conn, instrument, row) if payload else None,
    }


def _provider_row(conn: psycopg.Connection, instrument: Instrument, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The row as the provider's answer has it; ``None`` where the answer cannot be read any more or lacks it."""
    from fintrack_tasks.fetch.interpret import interpret  # noqa: PLC0415  loads the structured log

    window = TimeRange(row["window_start"], row["window_end"]) if row["window_start"] else None
    interval = Interval(row["interval"]) if row.get("interval") else None
    try:
        kept = payloads.get(conn, bytes(row["sha256"]))
        ask = Ask(Kind(row["kind"]), instrument, kept.received_at, interval, window)
        provider, response = providers.provider(kept.provider), HttpResponse(kept.status, kept.body, kept.headers)
        batch = interpret(kept.provider, lambda: provider.parse(ask, response))
    except (ProviderError, StoreError, UsageError):
        return None
    stamps = list(batch.columns["timestamp"])
    if to_micros(row["timestamp"]) not in stamps:
        return None
    cells = batch.row(stamps.index(to_micros(row["timestamp"])))
    return {"currency": batch.currency, **{name: value for name, value in cells.items() if name != "timestamp"}}


def _bars_at(conn: psycopg.Connection, instrument_id: int, at: datetime, interval: str | None) -> list[dict[str, Any]]:
    """The bars that open at exactly this time, of one interval or of each, longest first, with their lineage."""
    return fetch_all(conn, select_bars_at(instrument_id, at, interval))


def select_bars_at(instrument_id: int, at: datetime, interval: str | None) -> Select[Any]:
    """The statement of :func:`_bars_at`."""
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
        .order_by(case({each.value: position for position, each in enumerate(_INTERVALS)}, value=bar.interval))
    )
    return statement if interval is None else statement.where(bar.interval == interval)


def _quotes_at(conn: psycopg.Connection, instrument_id: int, at: datetime) -> list[dict[str, Any]]:
    """The quotes of the second that begins at this time, with their lineage and their price in US dollars."""
    return fetch_all(conn, select_quotes_at(instrument_id, at))


def select_quotes_at(instrument_id: int, at: datetime) -> Select[Any]:
    """The statement of :func:`_quotes_at`; the fx rate is the newest one known at the quote's time."""
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
    """The currency of a row's prices: the provider's where it named one, else the instrument's."""
    return func.coalesce(values.c.currency, relations.instruments.c.currency).label("currency")


def _with_lineage(values: Table) -> FromClause:
    return (
        values.join(relations.instruments, relations.instruments.c.id == values.c.instrument_id)
        .outerjoin(relations.run_items, _item.id == values.c.item_id)
        .outerjoin(relations.runs, relations.runs.c.id == _item.run_id)
        .outerjoin(relations.payloads, _payload.sha256 == _item.payload_sha)
    )


def _former_versions(conn: psycopg.Connection, instrument_id: int, interval: str, at: datetime) -> list[dict[str, Any]]:
    """The former versions of a bar, oldest first, each with the time range in which it was current."""
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


def _adjusted_values(
    conn: psycopg.Connection, instrument_id: int, interval: str, at: datetime
) -> dict[str, Any] | None:
    """A bar's adjustment factors and adjusted values."""
    own = views.historical_market_data_adjusted.c
    return fetch_one(
        conn,
        select(
            *(own.split_factor, own.dividend_factor),
            *(own.split_open, own.split_high, own.split_low, own.split_close, own.split_volume),
            *(own.total_open, own.total_high, own.total_low, own.total_close),
        ).where(own.instrument_id == instrument_id, own.interval == interval, own.timestamp == at),
    )


def nearest_time(conn: psycopg.Connection, instrument_id: int, at: datetime) -> datetime | None:
    """The time nearest to a moment at which there is a bar or a quote; ``None`` where there is none at all."""
    row = fetch_one(conn, select_nearest(instrument_id, at))
    return row["timestamp"] if row else None


def select_nearest(instrument_id: int, at: datetime) -> Select[Any]:
    """The statement of :func:`nearest_time`: of bars and quotes the last before and the first after, each by index."""
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
