"""The table of flags: which loaded rows a rule flagged, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import psycopg

from fintrack_tasks.domain import Batch, Finding, Item, from_micros

__all__ = ["add", "replace"]

_REPLACED: Final = """
DELETE FROM fintrack.flags f
WHERE f.instrument_id = %(instrument)s AND {same}
  AND f.timestamp BETWEEN %(first)s AND %(last)s AND f.timestamp = ANY(%(stamps)s)
  AND NOT (f.source = %(source)s AND (f.timestamp, f.rule) IN (
      SELECT * FROM unnest(%(marked)s::timestamptz[], %(rules)s::text[])))
"""
_OF_BARS: Final = _REPLACED.format(same="f.interval = %(interval)s")
_OF_QUOTES: Final = _REPLACED.format(same="f.interval IS NULL AND f.source = %(source)s")


def add(conn: psycopg.Connection, item: Item, batch: Batch, findings: Iterable[Finding], now: datetime) -> int:
    """Write findings on rows of a batch, each rule once a row; returns how many were new.

    A finding on the batch as a whole flags every row.
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
    """Write findings on the rows of a batch that passed, in place of the flags that these rows had before.

    The newest verdict counts: on a bar, from whichever provider; on a quote, from its own provider. A flag that stays
    keeps its first time and gets the newest item.
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
