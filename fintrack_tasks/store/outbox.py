"""The outbox: events that were committed with their rows and wait for Kafka's acknowledgement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import psycopg

from fintrack_tasks.domain import Event

__all__ = ["add", "exclusive", "lag", "mark_published", "pending"]

_DRAIN_LOCK: Final = 7_246_312


def add(conn: psycopg.Connection, event: Event, now: datetime) -> None:
    """Write an event, in the caller's transaction."""
    conn.execute(
        "INSERT INTO fintrack.outbox (event_id, run_id, topic, key, value, created_at) VALUES (%s, %s, %s, %s, %s, %s)",
        (event.id, event.run_id, event.topic, event.key, event.value, now),
    )


def pending(conn: psycopg.Connection, limit: int) -> list[tuple[int, Event]]:
    """The oldest events that wait, in the order in which they were written."""
    rows = conn.execute(
        "SELECT id, event_id, topic, key, value FROM fintrack.outbox WHERE published_at IS NULL ORDER BY id LIMIT %s",
        (limit,),
    ).fetchall()
    return [(number, Event(event_id, topic, key, value)) for number, event_id, topic, key, value in rows]


def mark_published(conn: psycopg.Connection, numbers: Sequence[int], now: datetime) -> None:
    """Note what Kafka acknowledged."""
    conn.execute("UPDATE fintrack.outbox SET published_at = %s WHERE id = ANY(%s)", (now, list(numbers)))


def lag(conn: psycopg.Connection) -> int:
    """How many events wait."""
    row = conn.execute("SELECT count(*) FROM fintrack.outbox WHERE published_at IS NULL").fetchone()
    return int(row[0]) if row else 0


@contextmanager
def exclusive(conn: psycopg.Connection) -> Iterator[None]:
    """Let one drain work at a time in the whole fleet; the next one waits here."""
    conn.execute("SELECT pg_advisory_lock(%s)", (_DRAIN_LOCK,))
    try:
        yield
    finally:
        if not conn.broken:
            conn.execute("SELECT pg_advisory_unlock(%s)", (_DRAIN_LOCK,))
