"""Which rows that were loaded a rule has marked, and why."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from fintrack_tasks.domain import Batch, Finding, Item, from_micros

__all__ = ["add", "flagged"]


def add(conn: psycopg.Connection, item: Item, batch: Batch, findings: Iterable[Finding], now: datetime) -> int:
    """Keep findings on rows of a batch, each rule once a row; returns how many were new.

    A finding on the batch as a whole marks every row.
    """
    stamps = batch.columns["timestamp"]
    rows = [
        (item.instrument_id, item.interval, from_micros(stamps[row]), batch.source, one.rule, one.detail[:500], item.id)
        for one in findings
        for row in (range(len(batch)) if one.row is None else (one.row,))
    ]
    if not rows:
        return 0
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO fintrack.flags (instrument_id, interval, timestamp, source, rule, detail, item_id, created_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT ON CONSTRAINT flags_once"
            " DO UPDATE SET detail = excluded.detail, item_id = excluded.item_id",
            [(*row, now) for row in rows],
        )
        return cursor.rowcount


def flagged(conn: psycopg.Connection, symbol: str | None, rule: str | None, limit: int) -> list[dict[str, Any]]:
    """The newest flags as dicts, newest first; of one symbol or rule where it is named."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT i.symbol, f.interval, f.timestamp, f.rule, f.detail, f.source, f.item_id, f.created_at"
            " FROM fintrack.flags f JOIN fintrack.instruments i ON i.id = f.instrument_id"
            " WHERE (%(symbol)s::text IS NULL OR i.symbol = %(symbol)s)"
            " AND (%(rule)s::text IS NULL OR f.rule = %(rule)s) ORDER BY f.id DESC LIMIT %(limit)s",
            {"symbol": symbol, "rule": rule, "limit": limit},
        ).fetchall()
