"""Connections to PostgreSQL: the pool of the pipeline, and ``DatabaseConnection`` for a user's program."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from fintrack_tasks import outages
from fintrack_tasks.domain import Mode
from fintrack_tasks.errors import ConfigurationError, OutageError, StoreError, UsageError
from fintrack_tasks.settings import Settings, load_settings
from fintrack_tasks.store import session

__all__ = ["Database", "DatabaseConnection", "mode_of", "require_schema"]

_NAME = "PostgreSQL"
_GONE = ("08", "57P0")
"""SQLSTATEs of a connection that broke off and of a server that shuts down or starts."""


class Database:
    """A pool of autocommit connections, opened when first used; transactions are explicit.

    Safe to share between threads, not between processes.

    :param settings: where the server is; ``db_pool_size`` bounds the pool.
    """

    def __init__(self, settings: Settings, pool_size: int | None = None) -> None:
        self.address = f"{settings.db_host}:{settings.db_port}"
        self.name = settings.db_name
        self.mode: Mode | None = None
        """Whose prices it holds, as :mod:`fintrack_tasks.store.database_mode` wrote it down; known once it is open."""
        self._conninfo = settings.conninfo
        self._login = settings.login_variables
        self._size = pool_size or settings.db_pool_size
        self._pool: ConnectionPool | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Database({self.address})"

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """A connection of the pool, given back at the end.

        :raises OutageError: when the server does not answer or goes away in the middle.
        :raises ConfigurationError: when the login may not do what was asked of it.
        """
        pool = self._pool or self._open()
        try:
            with pool.connection() as conn:
                yield conn
        except (PoolTimeout, psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise _refused(error, self.address, self._login) from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise _not_allowed(error, self._login[0], self._conninfo["user"]) from error

    def _open(self) -> ConnectionPool:
        with self._lock:
            if self._pool is None:
                # The first connection is made here and now: a pool would try it behind our back until its time-out.
                try:
                    with session.connect(self._conninfo) as first:
                        self.mode = self.mode or mode_of(first)
                except psycopg.OperationalError as error:
                    raise _refused(error, self.address, self._login) from error
                except psycopg.errors.InsufficientPrivilege as error:
                    raise _not_allowed(error, self._login[0], self._conninfo["user"]) from error
                self._pool = ConnectionPool(
                    kwargs={**self._conninfo, "autocommit": True, "prepare_threshold": 2},
                    configure=lambda conn: session.prepare(conn, session.BOUNDED),
                    min_size=1,
                    max_size=self._size,
                    timeout=15.0,
                    max_idle=120.0,
                    open=True,
                    name="fintrack",
                )
            return self._pool

    def close(self) -> None:
        """Close every connection; a later use opens new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


def mode_of(conn: psycopg.Connection) -> Mode | None:
    """Whether the database holds live or simulated prices; ``None`` while it holds none."""
    try:
        row = conn.execute("SELECT mode FROM fintrack.database_mode").fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None  # not migrated yet
    return Mode(row[0]) if row else None


def require_schema(conn: psycopg.Connection) -> None:
    """Check that the database was migrated.

    :raises ConfigurationError: when the schema is not there, with the command that makes it.
    """
    row = conn.execute("SELECT to_regclass('fintrack.run_items')").fetchone()
    if row is None or row[0] is None:
        raise ConfigurationError("DB_NAME: this database has no schema 'fintrack'; make it with: fintrack db upgrade")


class DatabaseConnection:
    """One connection for a user's program: ``query`` gives dicts.

    ``DatabaseConnection()`` takes the environment's settings; ``DatabaseConnection(host=..., port=..., database=...,
    user=..., password=...)`` overrules any of them. Each statement is committed by itself.

    :raises OutageError: when the server does not answer.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        database: str | None = None,
        user: str | None = None,
        password: str | None = None,
        *,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or load_settings()
        conninfo, self._login = settings.conninfo, settings.login_variables
        given = {"host": host, "port": port, "dbname": database, "user": user, "password": password}
        conninfo |= {name: value for name, value in given.items() if value is not None}
        self.address = f"{conninfo['host']}:{conninfo['port']}"
        try:
            self._conn = session.connect(conninfo, autocommit=True, row_factory=dict_row)
        except psycopg.OperationalError as error:
            raise _refused(error, self.address, self._login) from error

    def query(self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run one statement with ``%s`` or ``%(name)s`` parameters; its rows as dicts, none for a statement without.

        :raises StoreError: when the server refuses the statement.
        :raises UsageError: after :meth:`close`.
        """
        if self._conn.closed:
            raise UsageError("the connection is closed")
        try:
            cursor = self._conn.execute(sql, params)
            return list(cursor.fetchall()) if cursor.description else []
        except psycopg.OperationalError as error:
            raise _refused(error, self.address, self._login) from error
        except psycopg.Error as error:
            raise StoreError(str(error).partition("\n")[0]) from error

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._conn.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _not_allowed(error: psycopg.Error, variable: str, user: str) -> ConfigurationError:
    return ConfigurationError(
        f"{variable}: {user} may not do this ({str(error).partition(chr(10))[0]:.200}); run fintrack db upgrade, and"
        " see the logins in docs/operations.md"
    )


def _refused(error: Exception, address: str, login: Sequence[str]) -> OutageError:
    """The outage behind a failed connection or statement, with its remedy."""
    text = str(error)
    if not getattr(error, "sqlstate", None) and (told := outages.of_postgres(text, address, login)):
        return told
    if isinstance(error, psycopg.errors.DiskFull):
        return OutageError(_NAME, address, "its disk is full: make room, what was begun goes on then")
    if isinstance(error, psycopg.errors.TooManyConnections) or "too many clients" in text:
        return OutageError(_NAME, address, "it has no connection left: raise its max_connections or lower DB_POOL_SIZE")
    if isinstance(error, psycopg.Error) and error.sqlstate and not error.sqlstate.startswith(_GONE):
        return OutageError(_NAME, address, f"it says: {text.partition(chr(10))[0]:.200}")
    return outages.gone(_NAME, address, "DB_HOST and DB_PORT")
