"""Items that did not end in time, or of which no message is left: those to enqueue again, as a new generation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from fintrack_tasks.domain import (
    Item,
)
from fintrack_tasks.store.run_items import item_of

__all__ = ["MOST_LOSSES", "enqueue_again", "not_begun", "open_items", "overdue"]


MOST_LOSSES: Final = 6
"""How often an item is enqueued again before it ends as lost. The waits double: four hours in all by default."""


_OVERDUE: Final = """
UPDATE fintrack.run_items r SET generation = r.generation + 1, deferred = false,
losses = r.losses + CASE WHEN r.deferred THEN 0 ELSE 1 END,
deadline_at = %(now)s + make_interval(secs => %(grace)s * 2 ^ least(r.losses + 1, 12))
FROM fintrack.instruments i WHERE i.id = r.instrument_id AND r.id IN (
SELECT id FROM fintrack.run_items WHERE finished_at IS NULL AND deadline_at < %(now)s
ORDER BY deadline_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING r.*, i.symbol, i.asset_class, i.currency, i.calendar
"""


def overdue(conn: psycopg.Connection, now: datetime, grace: float, limit: int) -> tuple[list[Item], list[Item]]:
    """The items whose deadline has passed: those to enqueue again, as a new generation, and those given up.

    Two callers at once get different items. The next deadline is ``grace`` seconds from now, doubled each time.
    """
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            _OVERDUE,
            {"now": now, "grace": grace, "limit": limit},
        ).fetchall()
    return (
        [item_of(row) for row in rows if row["losses"] <= MOST_LOSSES],
        [item_of(row) for row in rows if row["losses"] > MOST_LOSSES],
    )


def not_begun(conn: psycopg.Connection, run_id: UUID) -> list[UUID]:
    """The items of a run that no worker has begun: their dispatch may have been cut off."""
    rows = conn.execute(
        "SELECT id FROM fintrack.run_items WHERE run_id = %s AND finished_at IS NULL AND state = 'queued'"
        " AND attempts = 0 AND NOT deferred",
        (run_id,),
    ).fetchall()
    return [item for (item,) in rows]


def open_items(conn: psycopg.Connection, before: datetime, limit: int) -> dict[UUID, UUID]:
    """The items that have neither ended nor wait in the ledger, planned before a moment, with their runs."""
    return dict(
        conn.execute(
            "SELECT id, run_id FROM fintrack.run_items WHERE finished_at IS NULL AND NOT deferred AND created_at < %s"
            " LIMIT %s",
            (before, limit),
        ).fetchall()
    )


_ENQUEUE_AGAIN: Final = """
UPDATE fintrack.run_items r SET generation = r.generation + 1,
deadline_at = greatest(r.deadline_at, %s::timestamptz + make_interval(secs => %s))
FROM fintrack.instruments i WHERE i.id = r.instrument_id AND r.id = ANY(%s) AND r.finished_at IS NULL
AND NOT r.deferred RETURNING r.*, i.symbol, i.asset_class, i.currency, i.calendar
"""


def enqueue_again(conn: psycopg.Connection, items: Sequence[UUID], now: datetime, grace: float) -> list[Item]:
    """The open ones of these items, as a new generation that does not count as a loss.

    Their deadlines are ``grace`` seconds from now, or later.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            _ENQUEUE_AGAIN,
            (now, grace, list(items)),
        ).fetchall()
    return [item_of(row) for row in rows]
