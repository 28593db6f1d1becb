"""Runs SQLAlchemy Core statements over the psycopg connection that the caller holds.

An engine of SQLAlchemy's own would be a second pool beside :class:`fintrack_tasks.store.Database`, with its own
session, time-outs and errors. So a statement is compiled for psycopg here and executed like any other; its values are
always parameters.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.rows import dict_row
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.selectable import SelectBase

__all__ = ["compile_statement", "fetch_all", "fetch_one", "fetch_tuples"]

_DIALECT: Final = PGDialect_psycopg()  # type: ignore[no-untyped-call]


def compile_statement(statement: SelectBase) -> tuple[str, dict[str, Any]]:
    """The text of a statement with ``%(name)s`` parameters, and their values."""
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return str(compiled), dict(compiled.params)


def fetch_all(conn: psycopg.Connection, statement: SelectBase) -> list[dict[str, Any]]:
    """All rows as dicts by column name, in the statement's order."""
    text, values = compile_statement(statement)
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(text.encode(), values).fetchall()


def fetch_one(conn: psycopg.Connection, statement: SelectBase) -> dict[str, Any] | None:
    """The first row as a dict, ``None`` when there is none."""
    text, values = compile_statement(statement)
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(text.encode(), values).fetchone()


def fetch_tuples(conn: psycopg.Connection, statement: SelectBase) -> list[tuple[Any, ...]]:
    """All rows as tuples, in the statement's order."""
    text, values = compile_statement(statement)
    return conn.execute(text.encode(), values).fetchall()
