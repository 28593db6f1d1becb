"""The quarantine: rows that a check rejected, with rules and reasons, until a person decides.

A row has one entry for each rule that rejected it; the id of any entry identifies the row, and a decision holds for all
of them and is final. A row that comes again unchanged is the same row: its entries move to the newest item that brought
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import class_row

from fintrack_tasks.domain import REJECT, Batch, Finding, Item
from fintrack_tasks.store import locks, run_items

__all__ = ["DISCARDED", "HELD", "RELEASED", "Row", "add", "claim", "decide", "get", "rows"]

HELD: Final = "held"
RELEASED: Final = "released"
DISCARDED: Final = "discarded"


_ADD: Final = """
WITH item AS (
    SELECT instrument_id, interval, finished_at IS NULL AS is_open FROM fintrack.run_items WHERE id = %(item)s
), given AS (
    SELECT * FROM unnest(%(keys)s::text[], %(rules)s::text[], %(details)s::text[], %(contents)s::jsonb[])
                  WITH ORDINALITY AS g(row_key, rule, detail, content, position)
), known AS (
    -- The entries of the same rows, whichever items brought them; one for each rule, a decided one before a held one.
    SELECT DISTINCT ON (g.row_key, q.rule) g.row_key, q.rule, q.id, q.item_id, q.status, q.decided_at, q.decided_by,
           item.is_open  -- an item that has ended and is delivered once more takes nothing back from a later one
    FROM item CROSS JOIN (SELECT DISTINCT row_key, content FROM given) g
    JOIN fintrack.quarantine q ON md5(q.content::text) = md5(g.content::text) AND q.content = g.content
    JOIN fintrack.run_items r ON r.id = q.item_id
    WHERE r.instrument_id = item.instrument_id AND r.interval IS NOT DISTINCT FROM item.interval
      AND q.currency IS NOT DISTINCT FROM %(currency)s::text
    ORDER BY g.row_key, q.rule, q.status = 'held', q.id DESC
), past AS (
    SELECT DISTINCT ON (row_key) row_key, status, decided_at, decided_by FROM known WHERE status <> 'held'
    ORDER BY row_key, decided_at DESC NULLS LAST
), moved AS (
    UPDATE fintrack.quarantine q SET item_id = %(item)s, row_key = k.row_key, meta = %(meta)s::jsonb, seen_at = %(now)s,
           status = coalesce(p.status, 'held'), decided_at = p.decided_at, decided_by = p.decided_by
    FROM known k LEFT JOIN past p USING (row_key) WHERE q.id = k.id AND k.item_id <> %(item)s AND k.is_open
      AND NOT EXISTS (SELECT FROM fintrack.quarantine own
                      WHERE (own.item_id, own.row_key, own.rule) = (%(item)s, k.row_key, k.rule))
), added AS (
    INSERT INTO fintrack.quarantine (item_id, row_key, rule, detail, content, currency, meta, created_at, seen_at,
                                     status, decided_at, decided_by)
    SELECT %(item)s, g.row_key, g.rule, g.detail, g.content, %(currency)s, %(meta)s::jsonb, %(now)s, %(now)s,
           coalesce(past.status, 'held'), past.decided_at, past.decided_by
    FROM given g LEFT JOIN past USING (row_key)
    WHERE NOT EXISTS (SELECT FROM known k WHERE (k.row_key, k.rule) = (g.row_key, g.rule))
    ORDER BY g.position
    ON CONFLICT (item_id, row_key, rule) DO NOTHING
)
SELECT row_key FROM past WHERE status = 'released'
"""

_ROWS: Final = """
SELECT min(q.id) AS id, i.symbol, r.kind, r.interval, array_agg(q.rule ORDER BY q.id) AS rules,
       array_agg(q.detail ORDER BY q.id) AS details, q.content, q.currency, q.status, q.row_key, q.item_id,
       min(q.created_at) AS created_at, max(q.seen_at) AS seen_at, min(q.decided_at) AS decided_at,
       min(q.decided_by) AS decided_by, coalesce((array_agg(q.meta ORDER BY q.seen_at DESC))[1], '{}') AS meta
FROM fintrack.quarantine q JOIN fintrack.run_items r ON r.id = q.item_id
JOIN fintrack.instruments i ON i.id = r.instrument_id
WHERE (q.item_id, q.row_key) IN (SELECT item_id, row_key FROM fintrack.quarantine WHERE id = ANY(%s))
GROUP BY i.symbol, r.kind, r.interval, q.content, q.currency, q.status, q.row_key, q.item_id
ORDER BY 1 DESC
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A row in quarantine. ``content`` holds its columns and its ``source``; ``id`` is the first of its entries.

    ``meta`` is its batch's meta, ``seen_at`` when it came, both of the last time.
    """

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
    seen_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    meta: dict[str, Any]


def add(conn: psycopg.Connection, item: Item, batch: Batch, findings: Iterable[Finding], now: datetime) -> int:
    """Write the rejected rows of a batch, once each; returns how many rows of it are held or discarded.

    A finding on the batch as a whole rejects every row. A row that is here already, brought by any item of the same
    instrument and interval, gets no second entry for a rule: its entries become this item's, with the key, the meta and
    the time of now, and keep what was decided; what was decided on it holds for a rule that it had not broken before.
    A row that a person released counts neither here nor in ``rows_quarantined`` of the item.
    """
    rejecting = [
        (row, one)
        for one in findings
        if one.severity == REJECT
        for row in (range(len(batch)) if one.row is None else (one.row,))
    ]
    contents = {row: _content(batch, row) for row, _ in rejecting}
    # The position keeps two bad rows of one time apart; of two that are alike the first one stands for both.
    first = {content: row for row, content in sorted(contents.items(), reverse=True)}
    keys = {content: f"{batch.symbol}|{batch.columns['timestamp'][row]}|{row}" for content, row in first.items()}
    entries: dict[tuple[str, str], str] = {}
    for row, one in rejecting:
        entries.setdefault((contents[row], one.rule), one.detail[:500])
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (locks.QUARANTINE, item.instrument_id))
        told = conn.execute(
            _ADD,
            {
                "item": item.id,
                "keys": [keys[content] for content, _ in entries],
                "rules": [rule for _, rule in entries],
                "details": list(entries.values()),
                "contents": [content for content, _ in entries],
                "currency": batch.currency,
                "meta": orjson.dumps(dict(batch.meta), default=repr).decode() if batch.meta else None,
                "now": now,
            },
        )
        released = {key for (key,) in told}
        size = sum(keys[content] not in released for content in contents.values())
        run_items.count_quarantined(conn, item, size)
    return size


def _content(batch: Batch, row: int) -> str:
    return orjson.dumps({**batch.row(row), "source": batch.source}, default=repr).decode()


def rows(conn: psycopg.Connection, entries: Sequence[int]) -> list[Row]:
    """The rows that these entries belong to, newest first, each once."""
    with conn.cursor(row_factory=class_row(Row)) as cursor:
        return cursor.execute(_ROWS, (list(entries),)).fetchall()


def get(conn: psycopg.Connection, number: int) -> Row | None:
    """The row that an entry belongs to, ``None`` when there is no such entry."""
    found = rows(conn, [number])
    return found[0] if found else None


def claim(conn: psycopg.Connection, number: int) -> Row | None:
    """:func:`get` with a lock for the caller's transaction: nobody else decides on the row or moves it."""
    conn.execute(
        "SELECT pg_advisory_xact_lock(%s, r.instrument_id) FROM fintrack.quarantine q"
        " JOIN fintrack.run_items r ON r.id = q.item_id WHERE q.id = %s",
        (locks.QUARANTINE, number),
    )
    return get(conn, number)


def decide(conn: psycopg.Connection, row: Row, status: str, actor: str, now: datetime) -> None:
    """Write the decision on a row that the caller has claimed and found held."""
    conn.execute(
        "UPDATE fintrack.quarantine SET status = %s, decided_at = %s, decided_by = %s"
        " WHERE item_id = %s AND row_key = %s AND status = 'held'",
        (status, now, actor[:100], row.item_id, row.row_key),
    )
