"""Statements of the read side: every value is a parameter, and errors are those of any other statement."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from fintrack_tasks.errors import OutageError
from fintrack_tasks.queries import relations
from fintrack_tasks.queries.execute import compile_statement, fetch_all, fetch_one, fetch_tuples
from fintrack_tasks.store import Database

HOSTILE = ("'; DROP TABLE fintrack.bars; --", "%s", "%(symbol)s", "100%", ":symbol", '"', "\\", "x" * 100_000, "é€😀")


@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=50)))
def test_a_value_never_stands_in_the_text_of_a_statement(value: str) -> None:
    symbol = relations.instruments.c.symbol
    plain, _ = compile_statement(select(symbol).where(symbol == "AAPL"))

    text, values = compile_statement(select(symbol).where(symbol == value))

    assert text == plain
    assert list(values.values()) == [value]


@pytest.mark.integration
@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_is_compared_as_it_stands(value: str, conn: psycopg.Connection) -> None:
    conn.execute(
        "INSERT INTO fintrack.instruments (symbol, asset_class) VALUES (%s, 'stock'), ('AAPL', 'stock')", [value[:50]]
    )
    known = relations.instruments.c

    found = fetch_tuples(conn, select(known.symbol).where(known.symbol == value[:50]))

    assert found == [(value[:50],)]


@pytest.mark.integration
def test_rows_come_as_dicts_by_column_and_the_first_alone_where_one_is_asked_for(conn: psycopg.Connection) -> None:
    known = relations.instruments.c
    conn.execute("INSERT INTO fintrack.instruments (symbol, asset_class) VALUES ('A', 'stock'), ('B', 'crypto')")
    statement = select(known.symbol, known.asset_class).order_by(known.symbol)

    assert fetch_all(conn, statement) == [
        {"symbol": "A", "asset_class": "stock"},
        {"symbol": "B", "asset_class": "crypto"},
    ]
    assert fetch_one(conn, statement) == {"symbol": "A", "asset_class": "stock"}
    assert fetch_one(conn, statement.where(known.symbol == "C")) is None


@pytest.mark.integration
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(st.lists(st.sampled_from("ABCDEFGHIJ"), unique=True))
def test_a_list_of_values_chooses_exactly_those_and_an_empty_one_none(
    conn: psycopg.Connection, chosen: list[str]
) -> None:
    conn.execute(
        "INSERT INTO fintrack.instruments (symbol, asset_class)"
        " SELECT chr(65 + n), 'stock' FROM generate_series(0, 9) n ON CONFLICT DO NOTHING"
    )
    known = relations.instruments.c

    found = fetch_tuples(conn, select(known.symbol).where(known.symbol.in_(chosen)).order_by(known.symbol))

    assert [symbol for (symbol,) in found] == sorted(chosen)


@pytest.mark.integration
def test_a_connection_that_breaks_is_an_outage_as_for_any_other_statement(
    database: Database, owner: psycopg.Connection
) -> None:
    def read() -> None:
        with database.connection() as conn:
            owner.execute("SELECT pg_terminate_backend(%s)", (conn.info.backend_pid,))
            fetch_all(conn, select(relations.instruments.c.symbol))

    with pytest.raises(OutageError, match="PostgreSQL"):
        read()
