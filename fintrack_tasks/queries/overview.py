"""Row counts of the main tables and one summary row per instrument, as ``fintrack demo`` shows them."""

from __future__ import annotations

from typing import Any, Final

import psycopg
from sqlalchemy import Select, func, or_, select, true

from fintrack_tasks.domain import Interval
from fintrack_tasks.queries import relations
from fintrack_tasks.queries.execute import fetch_all, fetch_one

__all__ = ["by_instrument", "totals"]

_MOST: Final = 200


def totals(conn: psycopg.Connection) -> dict[str, int]:
    """The number of rows in ``quotes``, ``bars`` and ``index_indicators``."""
    counted = (relations.quotes, relations.bars, relations.index_indicators)
    row = fetch_one(
        conn,
        select(*(select(func.count()).select_from(each).scalar_subquery().label(each.name) for each in counted)),
    )
    return {each.name: int(row[each.name]) if row else 0 for each in counted}


def by_instrument(conn: psycopg.Connection) -> list[dict[str, Any]]:
    """One row for each instrument that has data, by class and symbol, at most 200.

    Its newest quote (``price``, ``currency``, ``quoted_at``, ``source``), its ``daily_bars`` with the first and the
    last, and its rows of ``indicators``.
    """
    return fetch_all(conn, select_by_instrument())


def select_by_instrument() -> Select[Any]:
    """The statement of :func:`by_instrument`."""
    instrument, quote, bar = relations.instruments.c, relations.quotes.c, relations.bars.c
    newest = (
        select(quote.price, quote.currency, quote.timestamp, quote.source)
        .where(quote.instrument_id == instrument.id)
        .order_by(quote.timestamp.desc())
        .limit(1)
        .lateral("newest")
    )
    daily = (
        select(
            func.count().label("bars"),
            func.min(bar.timestamp).label("first_bar"),
            func.max(bar.timestamp).label("last_bar"),
            func.max(bar.source).label("source"),
        )
        .where(bar.instrument_id == instrument.id, bar.interval == Interval.D1.value)
        .lateral("daily")
    )
    computed = (
        select(func.count().label("indicators"))
        .where(relations.index_indicators.c.instrument_id == instrument.id)
        .lateral("computed")
    )
    return (
        select(
            *(instrument.symbol, instrument.asset_class, newest.c.price, newest.c.currency),
            newest.c.timestamp.label("quoted_at"),
            func.coalesce(newest.c.source, daily.c.source).label("source"),
            func.coalesce(daily.c.bars, 0).label("daily_bars"),
            *(daily.c.first_bar, daily.c.last_bar),
            func.coalesce(computed.c.indicators, 0).label("indicators"),
        )
        .select_from(
            relations.instruments.outerjoin(newest, true()).outerjoin(daily, true()).outerjoin(computed, true())
        )
        .where(or_(newest.c.price.is_not(None), daily.c.bars > 0))
        .order_by(instrument.asset_class, instrument.symbol)
        .limit(_MOST)
    )
