"""Lists of quarantined rows for ``fintrack quarantine list``, by status, symbol and rule.

:mod:`fintrack_tasks.pipeline.quarantine` releases or discards a row; :mod:`fintrack_tasks.store.quarantine` keeps it.
"""

from __future__ import annotations

from typing import Any

import psycopg
from sqlalchemy import Select, any_, func, literal, select

from fintrack_tasks.queries import relations
from fintrack_tasks.queries.execute import fetch_tuples
from fintrack_tasks.store import quarantine
from fintrack_tasks.store.quarantine import Row

__all__ = ["newest_rows"]


def newest_rows(
    conn: psycopg.Connection,
    status: str | None = None,
    symbol: str | None = None,
    rule: str | None = None,
    limit: int = 50,
) -> list[Row]:
    """The newest rows, newest first; of one status, symbol or broken rule alone where it is given."""
    chosen = [entry for (entry,) in fetch_tuples(conn, select_newest_rows(status, symbol, rule, limit))]
    return quarantine.rows(conn, chosen)


def select_newest_rows(status: str | None, symbol: str | None, rule: str | None, limit: int) -> Select[Any]:
    """The first entry of each row, newest first: a row has one entry for each rule that it broke."""
    entry, item, instrument = relations.quarantine.c, relations.run_items.c, relations.instruments.c
    first = func.min(entry.id)
    statement = (
        select(first)
        .join_from(relations.quarantine, relations.run_items, item.id == entry.item_id)
        .join(relations.instruments, instrument.id == item.instrument_id)
        .group_by(entry.item_id, entry.row_key, entry.content, entry.currency, entry.status)
        .order_by(first.desc())
        .limit(limit)
    )
    if status is not None:
        statement = statement.where(entry.status == status)
    if symbol is not None:
        statement = statement.where(instrument.symbol == symbol)
    return statement if rule is None else statement.having(literal(rule) == any_(func.array_agg(entry.rule)))
