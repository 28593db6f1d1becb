"""Connections: a person's queries, and outages that are named in one line."""

from __future__ import annotations

import pytest

from fintrack_tasks.errors import OutageError, StoreError, UsageError
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database, DatabaseConnection

pytestmark = pytest.mark.integration


def test_a_query_gives_dicts_and_its_parameters_are_no_sql(database_settings: Settings) -> None:
    with DatabaseConnection(settings=database_settings) as db:
        db.query("INSERT INTO instruments (symbol, asset_class) VALUES (%s, 'stock')", ("AAPL",))
        assert db.query("SELECT symbol FROM instruments WHERE symbol = %s", ("AAPL",)) == [{"symbol": "AAPL"}]
        assert db.query("SELECT symbol FROM instruments WHERE symbol = %(s)s", {"s": "x' OR '1'='1"}) == []
        with pytest.raises(StoreError, match="nowhere"):
            db.query("SELECT * FROM nowhere")
    db.close()
    with pytest.raises(UsageError, match="closed"):
        db.query("SELECT 1")


def test_host_port_database_user_and_password_may_be_given(database_settings: Settings) -> None:
    s = database_settings
    given = DatabaseConnection(
        host=s.db_host, port=s.db_port, database=s.db_name, user=s.db_user, password=s.db_password.get_secret_value(),
        settings=Settings(),
    )  # fmt: skip
    assert given.query("SELECT current_database() AS name") == [{"name": s.db_name}]
    given.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"DB_PORT": "1"}, "does not answer at 127.0.0.1:1; start it with"),
        ({"DB_PASSWORD": "wrong-password"}, "check DB_USER and DB_PASSWORD"),
        ({"DB_NAME": "nowhere"}, "check DB_NAME"),
    ],
)
def test_an_outage_is_one_line_that_says_what_to_do(stack: dict[str, str], change: dict[str, str], said: str) -> None:
    settings = Settings.from_mapping({**stack, **change})
    database = Database(settings)
    for call in (lambda: DatabaseConnection(settings=settings), lambda: database.connection().__enter__()):
        with pytest.raises(OutageError) as caught:
            call()
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
        assert settings.db_password.get_secret_value() not in str(caught.value)


@pytest.mark.parametrize(
    ("sqlstate", "said"),
    [
        ("53100", "its disk is full: make room"),
        ("53300", "raise its max_connections or lower DB_POOL_SIZE"),
        ("40P01", "it says: no more"),
        ("57P01", "start it with: fintrack up"),
    ],
)
def test_a_server_that_is_there_and_refuses_says_why(database: Database, sqlstate: str, said: str) -> None:
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'no more' USING ERRCODE = '{sqlstate}'; END $$"
    with pytest.raises(OutageError) as caught, database.connection() as conn:
        conn.execute(raising)  # type: ignore[call-overload]  # the codes above
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_connection_that_the_server_ended_is_an_outage_once_and_then_works(database: Database) -> None:
    with pytest.raises(OutageError), database.connection() as conn:
        conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    with database.connection() as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
