"""Bring the schema to the newest migration."""

from __future__ import annotations

from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from fintrack_tasks.errors import OutageError
from fintrack_tasks.settings import redact_url

__all__ = ["head", "upgrade"]

_LOCK: Final = 7_246_311  # any number, the same everywhere: two migrations at once wait for each other


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "fintrack_tasks.store:migrations")
    return config


def head() -> str:
    """The newest revision that this version of the program knows."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def upgrade(sqlalchemy_url: str, revision: str = "head") -> str:
    """Run what is missing, one after the other; safe to call by several at once. Returns the schema's revision.

    :raises OutageError: when the server does not answer.
    """
    engine = create_engine(sqlalchemy_url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
            connection.execute(text("CREATE SCHEMA IF NOT EXISTS fintrack"))
            connection.commit()
            config = _config()
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, revision)
                connection.commit()
                context = MigrationContext.configure(connection, opts={"version_table_schema": "fintrack"})
                return str(context.get_current_revision())
            finally:
                connection.rollback()
                connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
                connection.commit()
    except OperationalError as error:
        raise OutageError("PostgreSQL", redact_url(sqlalchemy_url).partition("://")[2]) from error
    finally:
        engine.dispose()
