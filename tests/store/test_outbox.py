"""One drain at a time; nobody waits for the other, and one that froze is cut off by the server."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from fintrack_tasks.domain import Event
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import outbox

pytestmark = pytest.mark.integration

NOW = datetime(2024, 1, 2, tzinfo=UTC)


@pytest.fixture
def other(database_settings: Settings) -> psycopg.Connection:
    return psycopg.connect(**database_settings.conninfo, autocommit=True)


def held(conn: psycopg.Connection) -> bool:
    with outbox.exclusive(conn) as mine:
        return mine


def test_a_second_drain_leaves_at_once(conn: psycopg.Connection, other: psycopg.Connection) -> None:
    """It waited for the lock before, until such drains filled their worker's threads."""
    with other, outbox.exclusive(conn) as mine:
        assert mine
        assert not held(other)
    assert held(conn)


def test_a_drain_leaves_the_connection_as_it_was(conn: psycopg.Connection) -> None:
    before = [conn.execute(f"SHOW {name}").fetchone() for name in outbox._TIMEOUTS]
    assert held(conn)
    assert [conn.execute(f"SHOW {name}").fetchone() for name in outbox._TIMEOUTS] == before


def test_a_drain_that_froze_loses_its_lock_and_can_mark_nothing_afterwards(
    conn: psycopg.Connection, other: psycopg.Connection
) -> None:
    outbox.add(conn, Event(UUID(int=1), "market-data", "AAPL", "{}"), NOW)
    frozen = outbox.exclusive(other, silence=0.5)
    assert frozen.__enter__()
    [(number, _)] = outbox.pending(other, 10)
    deadline = time.monotonic() + 20
    while not held(conn):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(psycopg.OperationalError):
        outbox.mark_published(other, [number], NOW)
    assert outbox.lag(conn) == 1
    other.close()


def test_a_standstill_counts_from_the_oldest_event_or_the_last_acknowledgement(conn: psycopg.Connection) -> None:
    assert outbox.standstill(conn, NOW) == (0, 0.0)
    for number in (1, 2):
        outbox.add(conn, Event(UUID(int=number), "market-data", "AAPL", "{}"), NOW)
    assert outbox.standstill(conn, NOW + timedelta(seconds=90)) == (2, 90.0)
    [(number, _), _] = outbox.pending(conn, 10)
    outbox.mark_published(conn, [number], NOW + timedelta(seconds=80))
    assert outbox.standstill(conn, NOW + timedelta(seconds=90)) == (1, 10.0)
