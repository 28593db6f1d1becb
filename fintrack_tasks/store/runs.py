"""The table of runs: what was asked for, whether all of it has ended, and how many items are in which state.

The items of a run are in :mod:`fintrack_tasks.store.run_items`. Runs and items together are the ledger: they outlive
every process and the broker.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import class_row

from fintrack_tasks.domain import (
    Item,
)

__all__ = [
    "RunSummary",
    "create_run",
    "finish_runs",
    "newest",
    "run_summaries",
    "run_summary",
    "running_run",
    "skip_run",
]


_RUNNING_AT_MOST: Final = timedelta(hours=12)
"""A run that is older does not hold its job's next tick back."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run and how many of its items are in which state."""

    run_id: UUID
    job: str
    state: str
    reason: str | None
    created_at: datetime
    finished_at: datetime | None
    items: int
    queued: int
    fetched: int
    loaded: int
    empty: int
    failed: int
    quarantined_rows: int


_SUMMARY: Final = """
SELECT r.id AS run_id, r.job, r.state, r.reason, r.created_at, r.finished_at, count(i.id) AS items,
       count(*) FILTER (WHERE i.state = 'queued') AS queued, count(*) FILTER (WHERE i.state = 'fetched') AS fetched,
       count(*) FILTER (WHERE i.state = 'loaded') AS loaded, count(*) FILTER (WHERE i.state = 'empty') AS empty,
       count(*) FILTER (WHERE i.state = 'failed') AS failed,
       coalesce(sum(i.rows_quarantined), 0)::bigint AS quarantined_rows
FROM fintrack.runs r LEFT JOIN fintrack.run_items i ON i.run_id = r.id
WHERE r.id = ANY(%s) GROUP BY r.id ORDER BY r.created_at DESC, r.id DESC
"""


def create_run(
    conn: psycopg.Connection,
    run_id: UUID,
    job: str,
    arguments: dict[str, Any],
    items: Sequence[Item],
    deadline_at: datetime,
    now: datetime,
    reason: str | None = None,
) -> None:
    """Write a run and its items, all or none, before any of them is enqueued.

    :param reason: the note on what was asked for and has no item.
    """
    with conn.transaction():
        conn.execute(
            "INSERT INTO fintrack.runs (id, job, arguments, state, reason, created_at)"
            " VALUES (%s, %s, %s, 'running', %s, %s)",
            (run_id, job, json.dumps(arguments), reason, now),
        )
        with (
            conn.cursor() as cursor,
            cursor.copy(
                "COPY fintrack.run_items (id, run_id, instrument_id, kind, interval, window_start, window_end,"
                " deadline_at, created_at, budget, consensus) FROM STDIN"
            ) as copy,
        ):
            for item in items:
                window = (item.window.start, item.window.end) if item.window else (None, None)
                asked = (item.id, run_id, item.instrument_id, item.kind.value, item.interval, *window)
                copy.write_row((*asked, deadline_at, now, int(item.budget), item.consensus))


def skip_run(conn: psycopg.Connection, job: str, reason: str, now: datetime) -> UUID:
    """Record a tick of the schedule that was skipped."""
    run_id = uuid4()
    conn.execute(
        "INSERT INTO fintrack.runs (id, job, arguments, state, reason, created_at, finished_at)"
        " VALUES (%s, %s, '{}', 'skipped', %s, %s, %s)",
        (run_id, job, reason, now, now),
    )
    return run_id


def running_run(conn: psycopg.Connection, job: str, now: datetime) -> UUID | None:
    """The newest run of a job over all registered instruments that has not ended.

    A run that a person started for some symbols does not hold a tick of the schedule back.
    """
    row = conn.execute(
        "SELECT id FROM fintrack.runs WHERE job = %s AND finished_at IS NULL AND created_at > %s"
        " AND NOT arguments ? 'symbols' ORDER BY created_at DESC LIMIT 1",
        (job, now - _RUNNING_AT_MOST),
    ).fetchone()
    return row[0] if row else None


_FINISH: Final = """
UPDATE fintrack.runs r SET finished_at = %s, state = (SELECT CASE
WHEN count(*) FILTER (WHERE i.state = 'failed') = 0 THEN 'finished'
WHEN bool_and(i.state = 'failed') THEN 'failed' ELSE 'partial' END
FROM fintrack.run_items i WHERE i.run_id = r.id) WHERE r.id IN (SELECT id FROM fintrack.runs o
WHERE o.finished_at IS NULL AND NOT EXISTS (SELECT FROM fintrack.run_items i WHERE i.run_id = o.id
AND i.finished_at IS NULL) FOR UPDATE SKIP LOCKED) RETURNING r.id
"""


def finish_runs(conn: psycopg.Connection, now: datetime) -> list[RunSummary]:
    """Close the runs all of whose items have ended; returns those that this call closed."""
    closed = conn.execute(
        _FINISH,
        (now,),
    ).fetchall()
    return [summary for (run_id,) in closed if (summary := run_summary(conn, run_id))]


def run_summary(conn: psycopg.Connection, run_id: UUID) -> RunSummary | None:
    """One run, ``None`` when there is none of that id."""
    found = run_summaries(conn, [run_id])
    return found[0] if found else None


def run_summaries(conn: psycopg.Connection, run_ids: Sequence[UUID]) -> list[RunSummary]:
    """Runs with the counts of their items, newest first; unknown ids are left out."""
    with conn.cursor(row_factory=class_row(RunSummary)) as cursor:
        return cursor.execute(_SUMMARY, (list(run_ids),)).fetchall()


def newest(conn: psycopg.Connection, limit: int) -> list[tuple[UUID, str, datetime]]:
    """The newest runs: id, job, and when each was planned."""
    return conn.execute(
        "SELECT id, job, created_at FROM fintrack.runs ORDER BY created_at DESC LIMIT %s", (limit,)
    ).fetchall()
