"""Which rows that were loaded a rule has marked, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from fintrack_tasks.domain import Batch, Finding, Item, from_micros

__all__ = ["add", "counted_since", "flagged", "replace"]

_REPLACED: Final = """
DELETE FROM fintrack.flags f
WHERE f.instrument_id = %(instrument)s AND {same}
  AND f.timestamp BETWEEN %(first)s AND %(last)s AND f.timestamp = ANY(%(stamps)s)
  AND NOT (f.source = %(source)s AND (f.timestamp, f.rule) IN (
      SELECT * FROM unnest(%(marked)s::timestamptz[], %(rules)s::text[])))
"""
_OF_BARS: Final = _REPLACED.format(same="f.interval = %(interval)s")
_OF_QUOTES: Final = _REPLACED.format(same="f.interval IS NULL AND f.source = %(source)s")

_COUNT: Final = """
SELECT instrument_id, count(*) FROM (
    SELECT instrument_id, interval, timestamp FROM fintrack.flags WHERE created_at >= %(since)s
    UNION
    SELECT instrument_id, interval, timestamp FROM fintrack.anomalies WHERE flagged_at >= %(since)s
) marked GROUP BY instrument_id
"""


def add(conn: psycopg.Connection, item: Item, batch: Batch, findings: Iterable[Finding], now: datetime) -> int:
    """Keep findings on rows of a batch, each rule once a row; returns how many were new.

    A finding on the batch as a whole marks every row.
    """
    stamps = batch.columns["timestamp"]
    rows = [
        (item.instrument_id, item.interval, from_micros(stamps[row]), batch.source, one.rule, one.detail[:500], item.id)
        for one in findings
        for row in _rows(batch, one)
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


def replace(conn: psycopg.Connection, item: Item, good: Batch, findings: Sequence[Finding], now: datetime) -> None:
    """Keep findings on the rows of a batch that passed its checks, in place of what was marked on these before.

    A verdict is the newest on its bar, whoever gave the one before it, and on its provider's quote of that time. A mark
    that stays keeps its first time and gets the item that found it again.
    """
    stamps = [from_micros(stamp) for stamp in good.columns["timestamp"]]
    marked = [(stamps[row], one.rule) for one in findings for row in _rows(good, one)]
    conn.execute(
        _OF_BARS if item.interval else _OF_QUOTES,
        {
            "instrument": item.instrument_id,
            "interval": item.interval,
            "source": good.source,
            "first": min(stamps),
            "last": max(stamps),
            "stamps": stamps,
            "marked": [stamp for stamp, _ in marked],
            "rules": [rule for _, rule in marked],
        },
    )
    add(conn, item, good, findings, now)


def _rows(batch: Batch, finding: Finding) -> Iterable[int]:
    return range(len(batch)) if finding.row is None else (finding.row,)


def counted_since(conn: psycopg.Connection, since: date) -> dict[int, int]:
    """How many bars and quotes of each instrument a rule has marked, or a model of any version flagged, since a day.

    What several of them marked counts once.
    """
    return dict(conn.execute(_COUNT, {"since": since}).fetchall())


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
