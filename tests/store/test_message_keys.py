"""The key of messages: made by the schema, read by the tasks, by no reader, and different in each database."""

from __future__ import annotations

import psycopg
import pytest

from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.store import message_keys

pytestmark = pytest.mark.integration


def test_a_new_database_has_a_key_of_its_own(conn: psycopg.Connection, owner: psycopg.Connection) -> None:
    [key] = message_keys.read(conn)
    assert len(key) == 32
    assert len(set(key)) > 16
    made = {key}
    for _ in range(3):
        owner.execute("INSERT INTO fintrack.message_keys DEFAULT VALUES")
        newest, before = message_keys.read(conn)
        assert newest not in made
        assert before in made
        made.add(newest)


def test_the_tasks_read_it_and_cannot_change_it_and_readers_do_not_see_it(conn: psycopg.Connection) -> None:
    def may(role: str, what: str) -> bool:
        row = conn.execute("SELECT has_table_privilege(%s, 'fintrack.message_keys', %s)", (role, what)).fetchone()
        return bool(row and row[0])

    assert [may("fintrack_writer", what) for what in ("SELECT", "INSERT", "UPDATE", "DELETE")] == [True] + [False] * 3
    assert not may("fintrack_reader", "SELECT")
    assert not may("public", "SELECT")
    assert may("fintrack_admin", "INSERT")


def test_a_database_without_one_is_told_with_the_way_out(conn: psycopg.Connection, owner: psycopg.Connection) -> None:
    owner.execute("DELETE FROM fintrack.message_keys")
    with pytest.raises(ConfigurationError, match=r"INSERT INTO fintrack.message_keys DEFAULT VALUES"):
        message_keys.read(conn)
