"""Bring the schema to the newest migration."""

from __future__ import annotations

from typing import Final

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from fintrack_tasks import outages
from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.settings import redact_url
from fintrack_tasks.store import locks, session
from fintrack_tasks.store.roles import ADMIN

__all__ = ["head", "upgrade"]

_LOGIN: Final = ("DB_OWNER_USER", "DB_OWNER_PASSWORD, or, where these are empty, DB_USER and DB_PASSWORD")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "fintrack_tasks.store:migrations")
    return config


def head() -> str:
    """The newest revision that this version of the program knows."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def upgrade(sqlalchemy_url: str, revision: str = "head") -> str:
    """Run the missing migrations in order; safe to call concurrently. Returns the schema's revision.

    Migrations run as ``fintrack_admin`` once the tables belong to it, whichever member logs in.

    :raises OutageError: when the server does not answer.
    :raises ConfigurationError: when the login may not migrate.
    """
    engine = create_engine(sqlalchemy_url, poolclass=NullPool)
    event.listen(engine, "connect", lambda connection, _: session.prepare(connection, session.UNBOUNDED))
    address = redact_url(sqlalchemy_url).partition("://")[2]
    try:
        with engine.connect() as connection:
            if revision == "head" and _current(connection) == head():
                return head()
            return _upgrade(connection, revision)
    except OperationalError as error:
        told = outages.of_postgres(str(error.orig), address, _LOGIN)
        raise told or outages.gone("PostgreSQL", address, "DB_HOST and DB_PORT") from error
    except ProgrammingError as error:
        if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise
        raise ConfigurationError(_refused(error.orig, engine.url.username)) from None
    finally:
        engine.dispose()


def _upgrade(connection: Connection, revision: str) -> str:
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": locks.MIGRATION})
    connection.commit()
    try:
        _become_owner(connection)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()
        return str(_current(connection))
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": locks.MIGRATION})
        connection.commit()


def _become_owner(connection: Connection) -> None:
    """Make the schema where it is missing, and take on the role that its tables belong to."""
    if connection.execute(text("SELECT to_regnamespace('fintrack')")).scalar() is None:
        connection.execute(text("CREATE SCHEMA fintrack"))
    elif (
        connection.execute(
            text("SELECT tableowner FROM pg_tables WHERE (schemaname, tablename) = ('fintrack', 'alembic_version')")
        ).scalar()
        == ADMIN
    ):
        connection.execute(text(f"SET ROLE {ADMIN}"))
    connection.commit()


def _current(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table_schema": "fintrack"})
    found = context.get_current_revision()
    connection.rollback()
    return found


def _refused(error: psycopg.Error, user: str | None) -> str:
    diagnosis = error.diag
    said = "; ".join(part for part in (diagnosis.message_primary, diagnosis.message_hint) if part)
    return (
        f"DB_OWNER_USER: {user} may not migrate ({said}); set DB_OWNER_USER and DB_OWNER_PASSWORD to a superuser or,"
        f" later on, a member of {ADMIN}: see docs/operations.md"
    )
