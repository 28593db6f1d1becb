"""The table of quality metrics per run, instrument and day, and the counts that they are computed from.

They are computed in :mod:`fintrack_tasks.validate.quality`; people read them by :mod:`fintrack_tasks.queries.quality`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.rows import class_row, dict_row

from fintrack_tasks.domain import Interval, Item, ItemState, to_micros
from fintrack_tasks.store import locks
from fintrack_tasks.store.run_items import item_of

__all__ = [
    "Outcome",
    "Run",
    "add",
    "agreement",
    "final_stamps",
    "findings",
    "mark_measured",
    "newest_quotes",
    "outcomes",
    "save",
    "thin",
    "unmeasured",
]


_WRITE: Final = """
INSERT INTO fintrack.quality_metrics (run_id, instrument_id, day, metric, value, detail, created_at)
SELECT %(run)s, instrument_id, %(day)s, metric, value, detail, %(now)s
FROM unnest(%(instruments)s::integer[], %(metrics)s::text[], %(values)s::numeric[], %(details)s::jsonb[])
     AS given(instrument_id, metric, value, detail)
ON CONFLICT (run_id, instrument_id, day, metric, coalesce(detail ->> 'provider', ''))
DO UPDATE SET value = excluded.value, detail = excluded.detail, created_at = excluded.created_at
"""

_OUTCOMES: Final = """
WITH page AS (
    SELECT DISTINCT r.instrument_id FROM fintrack.run_items r WHERE r.run_id = %(run)s
       AND NOT EXISTS (SELECT FROM fintrack.quality_metrics q WHERE q.run_id = r.run_id
                       AND q.instrument_id = r.instrument_id AND q.metric = 'completeness')
    ORDER BY r.instrument_id LIMIT %(limit)s
)
SELECT r.*, i.symbol, i.asset_class, i.currency, i.calendar
FROM page JOIN fintrack.run_items r USING (instrument_id) JOIN fintrack.instruments i ON i.id = r.instrument_id
WHERE r.run_id = %(run)s ORDER BY r.instrument_id, r.window_start
"""

_REJECTED: Final = """
SELECT item_id, rule, row_key FROM fintrack.quarantine WHERE item_id = ANY(%(items)s) AND status <> 'released'
"""
_FLAGGED: Final = "SELECT item_id, rule, timestamp::text FROM fintrack.flags WHERE item_id = ANY(%(items)s)"

_KEPT_WHOLE: Final = timedelta(days=2)
_THINNED: Final = timedelta(days=10)

_THIN: Final = """
DELETE FROM fintrack.quality_metrics q USING (
    SELECT m.id, row_number() OVER (PARTITION BY m.instrument_id, m.day, m.metric ORDER BY m.value, m.id DESC) AS place
    FROM fintrack.quality_metrics m JOIN fintrack.runs r ON r.id = m.run_id
    WHERE m.day >= %(first)s AND m.day < %(last)s AND r.job = %(job)s AND NOT coalesce(m.detail ? 'provider', false)
) ranked WHERE q.id = ranked.id AND ranked.place > 1
"""


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended."""

    id: UUID
    job: str
    created_at: datetime
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an item ended; ``rows`` counts all that came, in quarantine or not."""

    item: Item
    state: ItemState
    rows: int


def add(conn: psycopg.Connection, item: Item, metrics: Iterable[Mapping[str, Any]], now: datetime) -> None:
    """Write metrics of an item, in the caller's transaction.

    :param metrics: each with ``metric``, ``value`` (decimal text) and ``detail`` (JSON).
    """
    save(
        conn,
        item.run_id,
        now.date(),
        ((item.instrument_id, m["metric"], m["value"], m["detail"]) for m in metrics),
        now,
    )


def save(
    conn: psycopg.Connection,
    run_id: UUID,
    day: date,
    measures: Iterable[tuple[int, str, float | str, Mapping[str, Any]]],
    now: datetime,
) -> None:
    """Write metrics of a run (instrument, metric, value, detail); the same metric again replaces the first."""
    rows = [(number, name, str(value), json.dumps(detail)) for number, name, value, detail in measures]
    if not rows:
        return
    columns = zip(("instruments", "metrics", "values", "details"), map(list, zip(*rows, strict=True)), strict=True)
    conn.execute(_WRITE, {"run": run_id, "day": day, "now": now, **dict(columns)})


def unmeasured(conn: psycopg.Connection, *, claim: bool = False) -> Run | None:
    """The oldest run that has ended and is not measured yet, ``None`` when there is none.

    :param claim: for the caller's transaction; ``None`` also when another process measures.
    """
    if claim and not _claimed(conn):
        return None
    with conn.cursor(row_factory=class_row(Run)) as cursor:
        return cursor.execute(
            "SELECT id, job, created_at, finished_at FROM fintrack.runs"
            " WHERE measured_at IS NULL AND finished_at IS NOT NULL ORDER BY finished_at LIMIT 1"
        ).fetchone()


def _claimed(conn: psycopg.Connection) -> bool:
    row = conn.execute("SELECT pg_try_advisory_xact_lock(%s)", (locks.MEASURING,)).fetchone()
    return bool(row and row[0])


def outcomes(conn: psycopg.Connection, run_id: UUID, limit: int) -> dict[int, list[Outcome]]:
    """The items of the run's first unmeasured instruments, by instrument id."""
    with conn.cursor(row_factory=dict_row) as cursor:
        items = cursor.execute(_OUTCOMES, {"run": run_id, "limit": limit}).fetchall()
    found: dict[int, list[Outcome]] = {}
    for row in items:
        rows = row["rows_loaded"] + row["rows_quarantined"]
        outcome = Outcome(item_of(row), ItemState(row["state"]), rows)
        found.setdefault(row["instrument_id"], []).append(outcome)
    return found


def findings(conn: psycopg.Connection, items: Sequence[UUID]) -> dict[UUID, dict[str, set[str]]]:
    """Item to rule to the keys of the rows that the rule found.

    Rows that are held or discarded in quarantine, and flagged loaded rows; a released row does not count.
    """
    found: dict[UUID, dict[str, set[str]]] = {}
    for statement in (_REJECTED, _FLAGGED):
        for item, rule, key in conn.execute(statement, {"items": list(items)}):
            found.setdefault(item, {}).setdefault(rule, set()).add(key)
    return found


def final_stamps(conn: psycopg.Connection, instrument_id: int, interval: Interval) -> list[int]:
    """The times (microseconds, ascending) of the final bars that are stored."""
    rows = conn.execute(
        "SELECT (extract(epoch FROM timestamp) * 1000000)::bigint FROM fintrack.bars WHERE instrument_id = %s"
        " AND interval = %s AND is_final ORDER BY timestamp",
        (instrument_id, interval.value),
    ).fetchall()
    return [stamp for (stamp,) in rows]


def newest_quotes(conn: psycopg.Connection, instruments: Sequence[int], received_by: datetime) -> dict[int, int]:
    """Instrument id to the time (microseconds) of its newest quote at a moment."""
    rows = conn.execute(
        "SELECT i.id, q.timestamp FROM unnest(%s::integer[]) AS i(id) CROSS JOIN LATERAL (SELECT timestamp"
        " FROM fintrack.quotes WHERE instrument_id = i.id AND received_at <= %s ORDER BY timestamp DESC LIMIT 1) q",
        (list(instruments), received_by),
    ).fetchall()
    return {number: to_micros(stamp) for number, stamp in rows}


_AGREEMENT: Final = """
SELECT s.instrument_id, (SELECT count(*) FROM jsonb_object_keys(s.detail -> 'prices')),
(SELECT count(*) FROM fintrack.quality_metrics d WHERE d.run_id = s.run_id
AND d.instrument_id = s.instrument_id AND d.metric = 'provider_deviation_bps')
FROM fintrack.quality_metrics s WHERE s.run_id = %s AND s.metric = 'provider_spread_bps'
"""


def agreement(conn: psycopg.Connection, run_id: UUID) -> dict[int, float]:
    """Instrument id to the share of the compared providers that agreed on its quote in this run."""
    rows = conn.execute(
        _AGREEMENT,
        (run_id,),
    ).fetchall()
    return {number: 1 - deviating / compared for number, compared, deviating in rows if compared}


def mark_measured(conn: psycopg.Connection, run_id: UUID, now: datetime) -> None:
    """Mark the run as measured."""
    conn.execute("UPDATE fintrack.runs SET measured_at = %s WHERE id = %s", (now, run_id))


def thin(conn: psycopg.Connection, job: str, day: date) -> int:
    """Thin the metrics of a job that runs many times a day to the lowest of each day, once two days are over.

    Returns how many were deleted. Looks ten days back; every run calls it.
    """
    span = {"first": day - _THINNED, "last": day - _KEPT_WHOLE + timedelta(days=1), "job": job}
    return conn.execute(_THIN, span).rowcount
