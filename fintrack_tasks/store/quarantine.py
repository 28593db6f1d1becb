"""Rows that a check rejected, kept with the rules and the reasons until a person decides.

A row has one entry for each rule that rejected it; any of their numbers means the row, and a decision holds for all of
them. It is taken once: what was released or discarded stays so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import class_row

from fintrack_tasks.domain import Batch, Finding, Item

__all__ = ["DISCARDED", "HELD", "RELEASED", "Row", "add", "decide", "get", "rows"]

HELD: Final = "held"
RELEASED: Final = "released"
DISCARDED: Final = "discarded"

_ADD: Final = """
INSERT INTO fintrack.quarantine (item_id, row_key, rule, detail, content, currency, created_at, seen_at, status,
                                 decided_at, decided_by)
SELECT %(item)s, %(key)s, %(rule)s, %(detail)s, %(content)s::jsonb, %(currency)s, %(now)s, %(now)s,
       CASE WHEN past.decided_by IS NULL THEN 'held' ELSE 'discarded' END, past.decided_at, past.decided_by
FROM (SELECT) one LEFT JOIN LATERAL (
    -- The same row of the same source comes again until its window is settled; a person has seen it once.
    SELECT q.decided_at, q.decided_by FROM fintrack.quarantine q JOIN fintrack.run_items r ON r.id = q.item_id
    WHERE q.status = 'discarded' AND md5(q.content::text) = md5(%(content)s::jsonb::text)
      AND r.instrument_id = %(instrument)s AND r.interval IS NOT DISTINCT FROM %(interval)s
    LIMIT 1
) past ON true
ON CONFLICT (item_id, row_key, rule) DO NOTHING
"""

_ROWS: Final = """
SELECT min(q.id) AS id, i.symbol, r.kind, r.interval, array_agg(q.rule ORDER BY q.id) AS rules,
       array_agg(q.detail ORDER BY q.id) AS details, q.content, q.currency, q.status, q.row_key, q.item_id,
       min(q.created_at) AS created_at, min(q.decided_at) AS decided_at, min(q.decided_by) AS decided_by
FROM fintrack.quarantine q JOIN fintrack.run_items r ON r.id = q.item_id
JOIN fintrack.instruments i ON i.id = r.instrument_id
"""
_BY_ROW: Final = "GROUP BY i.symbol, r.kind, r.interval, q.content, q.currency, q.status, q.row_key, q.item_id"

_OF_ENTRY: Final = "WHERE (q.item_id, q.row_key) = (SELECT item_id, row_key FROM fintrack.quarantine WHERE id = %s)"


@dataclass(frozen=True, slots=True)
class Row:
    """A row in quarantine. ``content`` holds its columns and its ``source``; ``id`` is the first of its entries."""

    id: int
    symbol: str
    kind: str
    interval: str | None
    rules: list[str]
    details: list[str]
    content: dict[str, Any]
    currency: str | None
    status: str
    row_key: str
    item_id: UUID
    created_at: datetime
    decided_at: datetime | None
    decided_by: str | None


def add(conn: psycopg.Connection, item: Item, batch: Batch, findings: Iterable[Finding], now: datetime) -> int:
    """Keep the rejected rows of a batch, once each; returns how many rows that were.

    A finding on the batch as a whole rejects every row. A row that a person discarded, and that comes again just as it
    was, stays discarded.
    """
    rejecting = [
        (row, one)
        for one in findings
        if one.severity == "reject"
        for row in (range(len(batch)) if one.row is None else (one.row,))
    ]
    size = len({row for row, _ in rejecting})
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            _ADD,
            [
                {
                    "item": item.id,
                    "instrument": item.instrument_id,
                    "interval": item.interval,
                    # The position keeps two bad rows of one time apart.
                    "key": f"{batch.symbol}|{batch.columns['timestamp'][row]}|{row}",
                    "rule": one.rule,
                    "detail": one.detail[:500],
                    "content": orjson.dumps({**batch.row(row), "source": batch.source}, default=repr).decode(),
                    "currency": batch.currency,
                    "now": now,
                }
                for row, one in rejecting
            ],
        )
        conn.execute("UPDATE fintrack.run_items SET rows_quarantined = %s WHERE id = %s", (size, item.id))
    return size


def rows(conn: psycopg.Connection, status: str | None, symbol: str | None, rule: str | None, limit: int) -> list[Row]:
    """The newest rows, newest first; of one status, symbol or rule where it is named."""
    with conn.cursor(row_factory=class_row(Row)) as cursor:
        return cursor.execute(
            f"{_ROWS} WHERE (%(status)s::text IS NULL OR q.status = %(status)s)"
            f" AND (%(symbol)s::text IS NULL OR i.symbol = %(symbol)s) {_BY_ROW}"
            " HAVING %(rule)s::text IS NULL OR %(rule)s = ANY(array_agg(q.rule)) ORDER BY 1 DESC LIMIT %(limit)s",
            {"status": status, "symbol": symbol, "rule": rule, "limit": limit},
        ).fetchall()


def get(conn: psycopg.Connection, number: int) -> Row | None:
    """The row that an entry belongs to, ``None`` when there is no such entry."""
    with conn.cursor(row_factory=class_row(Row)) as cursor:
        return cursor.execute(f"{_ROWS} {_OF_ENTRY} {_BY_ROW}", (number,)).fetchone()


def decide(conn: psycopg.Connection, row: Row, status: str, actor: str, now: datetime) -> bool:
    """Take the decision on a row that is held, in the caller's transaction; returns whether this call did it.

    Of two callers at once the second waits for the first and finds nothing to do.
    """
    changed = conn.execute(
        "UPDATE fintrack.quarantine SET status = %s, decided_at = %s, decided_by = %s"
        " WHERE item_id = %s AND row_key = %s AND status = 'held'",
        (status, now, actor[:100], row.item_id, row.row_key),
    ).rowcount
    return changed > 0
