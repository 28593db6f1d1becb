"""The outbox: events that were committed with their rows and wait for Kafka's acknowledgement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import psycopg

from fintrack_tasks.domain import Event
from fintrack_tasks.store import locks

__all__ = [
    "HOLDER_SILENCE",
    "INSERT",
    "add",
    "exclusive",
    "lag",
    "mark_published",
    "pending",
    "standstill",
    "values_of",
]

HOLDER_SILENCE: Final = 45.0
"""Seconds; longer than one attempt at Kafka takes (publish/producer.py), and than its client keeps an event to send."""
_TIMEOUTS: Final = (
    "idle_session_timeout",
    "idle_in_transaction_session_timeout",
    "statement_timeout",
    "tcp_user_timeout",
)


INSERT: Final = """
    INSERT INTO fintrack.outbox (event_id, run_id, topic, key, value, created_at)
    SELECT %(event)s, %(run)s, %(topic)s, %(key)s, %(value)s, %(now)s
"""
"""With :func:`values_of`; a load that is one statement has it as a part of its own, ``FROM`` what it depends on."""


def values_of(event: Event, now: datetime) -> dict[str, Any]:
    """The values of :data:`INSERT` by name."""
    return {
        "event": event.id,
        "run": event.run_id,
        "topic": event.topic,
        "key": event.key,
        "value": event.value,
        "now": now,
    }


def add(conn: psycopg.Connection, event: Event, now: datetime) -> None:
    """Write an event, in the caller's transaction."""
    conn.execute(INSERT, values_of(event, now))


def pending(conn: psycopg.Connection, limit: int) -> list[tuple[int, Event]]:
    """The oldest waiting events, in the order in which they were written."""
    rows = conn.execute(
        "SELECT id, event_id, topic, key, value FROM fintrack.outbox WHERE published_at IS NULL ORDER BY id LIMIT %s",
        (limit,),
    ).fetchall()
    return [(number, Event(event_id, topic, key, value)) for number, event_id, topic, key, value in rows]


def mark_published(conn: psycopg.Connection, numbers: Sequence[int], now: datetime) -> None:
    """Mark the events that Kafka acknowledged."""
    conn.execute("UPDATE fintrack.outbox SET published_at = %s WHERE id = ANY(%s)", (now, list(numbers)))


def lag(conn: psycopg.Connection) -> int:
    """How many events wait."""
    row = conn.execute("SELECT count(*) FROM fintrack.outbox WHERE published_at IS NULL").fetchone()
    return int(row[0]) if row else 0


def standstill(conn: psycopg.Connection, now: datetime) -> tuple[int, float]:
    """How many events wait, and for how many seconds none was acknowledged: since the oldest was written or the last
    acknowledgement.
    """
    oldest = conn.execute(
        "SELECT created_at FROM fintrack.outbox WHERE published_at IS NULL ORDER BY id LIMIT 1"
    ).fetchone()
    if oldest is None:
        return 0, 0.0
    [newest] = conn.execute(
        "SELECT max(published_at) FROM (SELECT published_at FROM fintrack.outbox WHERE published_at IS NOT NULL"
        " ORDER BY id DESC LIMIT 1000) newest"
    ).fetchall()
    since = max(oldest[0], newest[0]) if newest[0] else oldest[0]
    return lag(conn), max(0.0, (now - since).total_seconds())


@contextmanager
def exclusive(conn: psycopg.Connection, silence: float = HOLDER_SILENCE) -> Iterator[bool]:
    """Hold the fleet-wide lock of the drain; yields False at once where another drain holds it.

    A holder that froze, or whose machine is gone, loses the lock: the server ends its session after so many seconds of
    silence. Its next statement fails then, so that it can neither read nor mark anything more.
    """
    limit = f"{int(silence * 1000)}ms"
    asked = ", ".join(["current_setting(%s)"] * len(_TIMEOUTS))
    [before] = conn.execute(f"SELECT {asked}", _TIMEOUTS).fetchall()
    _set(conn, dict.fromkeys(_TIMEOUTS, limit))
    [(held,)] = conn.execute("SELECT pg_try_advisory_lock(%s)", (locks.OUTBOX_DRAIN,)).fetchall()
    try:
        yield bool(held)
    finally:
        if not conn.broken:
            if held:
                conn.execute("SELECT pg_advisory_unlock(%s)", (locks.OUTBOX_DRAIN,))
            _set(conn, dict(zip(_TIMEOUTS, before, strict=True)))


def _set(conn: psycopg.Connection, values: Mapping[str, str]) -> None:
    calls = ", ".join(["set_config(%s, %s, false)"] * len(values))
    conn.execute(f"SELECT {calls}", [word for pair in values.items() for word in pair])
