"""Messages that belong to no item are kept, as far as there is room, whatever characters they hold."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from fintrack_tasks.store import dead_letters

pytestmark = pytest.mark.integration

NOW = datetime(2024, 1, 2, tzinfo=UTC)


def test_a_message_is_kept_with_the_task_that_it_names(conn: psycopg.Connection) -> None:
    assert dead_letters.add_message(conn, "fintrack.x", "unknown_task", "no task has that name", "[[], {}]", NOW)
    assert conn.execute(
        "SELECT item_id, task, reason, detail, message, created_at FROM fintrack.dead_letters"
    ).fetchall() == [(None, "fintrack.x", "unknown_task", "no task has that name", "[[], {}]", NOW)]


@pytest.mark.parametrize("text", ["a\x00b", "\ud83d", "x" * 100_000])
def test_what_postgresql_cannot_hold_is_cut_or_replaced(conn: psycopg.Connection, text: str) -> None:
    assert dead_letters.add_message(conn, text, "foreign_message", text, text, NOW)
    row = conn.execute("SELECT length(message), length(detail), length(task) FROM fintrack.dead_letters").fetchone()
    assert row is not None
    assert (row[0] <= 4000, row[1] <= 2000, row[2] <= 200) == (True, True, True)


def test_a_flood_is_bounded(conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "MOST_MESSAGES", 3)
    kept = [dead_letters.add_message(conn, "t", "foreign_message", "d", str(n), NOW) for n in range(5)]
    assert kept == [True, True, True, False, False]


def test_a_letter_is_of_an_item_or_of_a_message(conn: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        conn.execute("INSERT INTO fintrack.dead_letters (reason, detail, created_at) VALUES ('r', 'd', now())")
