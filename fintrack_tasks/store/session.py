"""The session settings of every connection to PostgreSQL, whatever server, database and role have as defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg.sql import SQL

__all__ = ["BOUNDED", "UNBOUNDED", "connect", "prepare"]

_RELIED_ON: Final = {
    "client_encoding": "UTF8",
    "datestyle": "ISO, MDY",
    "timezone": "UTC",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "default_transaction_isolation": "read committed",
    "search_path": "fintrack, public",
}
"""What our statements and psycopg's parsers rely on."""

BOUNDED: Final = {"lock_timeout": "60s", "statement_timeout": "10min", "idle_in_transaction_session_timeout": "5min"}
"""Of the pipeline's connections: no task waits for ever for another's lock, no statement goes on long after the task
that made it was killed, and who hangs in a transaction loses its locks."""

UNBOUNDED: Final = dict.fromkeys(BOUNDED, "0")
"""Of a migration, which may take its time."""


def connect(conninfo: Mapping[str, Any], **options: Any) -> psycopg.Connection[Any]:
    """A connection with these settings; time-outs that a person set stay."""
    conn: psycopg.Connection[Any] = psycopg.connect(**{**conninfo, **options})
    try:
        prepare(conn)
    except BaseException:
        conn.close()
        raise
    return conn


def prepare(conn: psycopg.Connection[Any], bounds: Mapping[str, str] | None = None) -> None:
    """Set it, in one statement.

    By a statement, and not by the connection's ``options``, which poolers such as PgBouncer refuse.
    """
    wanted = {**_RELIED_ON, **(bounds or {})}
    autocommit = conn.autocommit
    conn.autocommit = True  # so that no rollback takes it back
    calls = SQL(", ").join(SQL("set_config({}, {}, false)").format(*pair) for pair in wanted.items())
    conn.execute(SQL("SELECT {}").format(calls))
    conn.autocommit = autocommit
