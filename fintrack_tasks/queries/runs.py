"""What a person asks the database: totals, one line per instrument, the rows of one run. Reading only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from fintrack_tasks.errors import ConfigurationError

__all__ = [
    "by_instrument",
    "daily_bars",
    "events_of_run",
    "events_waiting",
    "next_deadline",
    "require_schema",
    "rows_of_run",
    "totals",
    "waiting_of_run",
]

_BY_INSTRUMENT = """
SELECT i.symbol, i.asset_class, q.price, q.currency, q.timestamp AS quoted_at, coalesce(q.source, b.source) AS source,
       coalesce(b.bars, 0) AS daily_bars, b.first_bar, b.last_bar, coalesce(x.indicators, 0) AS indicators
FROM fintrack.instruments i
LEFT JOIN LATERAL (
    SELECT price, currency, timestamp, source FROM fintrack.quotes
    WHERE instrument_id = i.id ORDER BY timestamp DESC LIMIT 1
) q ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS bars, min(timestamp) AS first_bar, max(timestamp) AS last_bar, max(source) AS source
    FROM fintrack.bars WHERE instrument_id = i.id AND interval = '1d'
) b ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS indicators FROM fintrack.index_indicators WHERE instrument_id = i.id
) x ON true
WHERE q.price IS NOT NULL OR b.bars > 0
ORDER BY i.asset_class, i.symbol
LIMIT 200
"""

_DAILY = """
SELECT b.timestamp, b.open, b.high, b.low, b.close, b.adj_close, b.volume
FROM fintrack.bars b JOIN fintrack.instruments i ON i.id = b.instrument_id
WHERE i.symbol = %s AND b.interval = '1d'
ORDER BY b.timestamp
"""


def totals(conn: psycopg.Connection) -> dict[str, int]:
    """How many quotes, bars and index indicator rows there are."""
    row = conn.execute(
        "SELECT (SELECT count(*) FROM fintrack.quotes), (SELECT count(*) FROM fintrack.bars),"
        " (SELECT count(*) FROM fintrack.index_indicators)"
    ).fetchone()
    return dict(zip(("quotes", "bars", "index_indicators"), row or (0, 0, 0), strict=True))


def rows_of_run(conn: psycopg.Connection, run_id: UUID) -> dict[str, int]:
    """How many rows the items of one run wrote, by table."""
    row = conn.execute(
        "SELECT coalesce(sum(rows_loaded) FILTER (WHERE kind = 'quote'), 0),"
        " coalesce(sum(rows_loaded) FILTER (WHERE kind <> 'quote'), 0),"
        " coalesce(sum(rows_loaded) FILTER (WHERE kind = 'index'), 0)"
        " FROM fintrack.run_items WHERE run_id = %s AND state = 'loaded'",
        (run_id,),
    ).fetchone()
    return {
        name: int(count) for name, count in zip(("quotes", "bars", "index_indicators"), row or (0, 0, 0), strict=True)
    }


def events_of_run(conn: psycopg.Connection, run_id: UUID) -> dict[str, int]:
    """How many events of one run Kafka has acknowledged, by topic."""
    rows = conn.execute(
        "SELECT o.topic, count(*) FROM fintrack.runs r JOIN fintrack.outbox o"
        " ON o.created_at >= r.created_at AND o.run_id = r.id"
        " WHERE r.id = %s AND o.published_at IS NOT NULL GROUP BY o.topic",
        (run_id,),
    ).fetchall()
    return {topic: int(count) for topic, count in rows}


def events_waiting(conn: psycopg.Connection, runs: Sequence[UUID]) -> tuple[int, int | None]:
    """How many events of these runs Kafka has not acknowledged, and the number of the oldest of all that wait."""
    row = conn.execute(
        "SELECT (SELECT count(*) FROM fintrack.runs r JOIN fintrack.outbox o"
        " ON o.created_at >= r.created_at AND o.run_id = r.id WHERE r.id = ANY(%s) AND o.published_at IS NULL),"
        " (SELECT min(id) FROM fintrack.outbox WHERE published_at IS NULL)",
        (list(runs),),
    ).fetchone()
    return (int(row[0]), row[1]) if row else (0, None)


def next_deadline(conn: psycopg.Connection, runs: Sequence[UUID]) -> datetime | None:
    """When the first unfinished item of these runs is enqueued again, if nothing becomes of it before that."""
    row = conn.execute(
        "SELECT min(deadline_at) FROM fintrack.run_items WHERE run_id = ANY(%s) AND finished_at IS NULL", (list(runs),)
    ).fetchone()
    return row[0] if row else None


def waiting_of_run(conn: psycopg.Connection, run_id: UUID) -> dict[str, Any]:
    """``deferred``: how many items of a run wait for a quota; ``next_at``: when the first of them goes on."""
    row = conn.execute(
        "SELECT count(*), min(deadline_at) FROM fintrack.run_items"
        " WHERE run_id = %s AND deferred AND finished_at IS NULL",
        (run_id,),
    ).fetchone()
    return {"deferred": int(row[0]), "next_at": row[1]} if row else {"deferred": 0, "next_at": None}


def by_instrument(conn: psycopg.Connection) -> list[dict[str, Any]]:
    """One row per instrument that has data: newest quote, daily bars and their span, indicator rows; at most 200."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_BY_INSTRUMENT).fetchall()


def daily_bars(conn: psycopg.Connection, symbol: str) -> list[dict[str, Any]]:
    """The stored daily bars of a symbol, oldest first, prices as ``Decimal``."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_DAILY, (symbol,)).fetchall()


def require_schema(conn: psycopg.Connection) -> None:
    """Say what to do when the database was never migrated.

    :raises ConfigurationError: when the schema is not there.
    """
    row = conn.execute("SELECT to_regclass('fintrack.run_items')").fetchone()
    if row is None or row[0] is None:
        raise ConfigurationError("DB_NAME: this database has no schema 'fintrack'; make it with: fintrack db upgrade")
