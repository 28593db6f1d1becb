"""A migrated database of each test's own, on the shared PostgreSQL: copied from a template in some 50 ms."""

from __future__ import annotations

import fcntl
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database
from fintrack_tasks.store.migrate import head, upgrade


def _admin(environment: dict[str, str]) -> psycopg.Connection:
    return psycopg.connect(**Settings.from_mapping({**environment, "DB_NAME": "postgres"}).conninfo, autocommit=True)


@pytest.fixture(scope="session")
def template(stack: dict[str, str]) -> str:
    """The name of a database that is migrated to this checkout's newest revision, made once per run."""
    migrations = Path(__file__).resolve().parents[1] / "fintrack_tasks" / "store" / "migrations" / "versions"
    changed = int(max(path.stat().st_mtime for path in migrations.glob("*.py")))
    name = f"template_{head()}_{changed}"
    lock = Path(__file__).resolve().parents[1] / ".fintrack" / "template.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held, _admin(stack) as conn:
        fcntl.flock(held, fcntl.LOCK_EX)
        ready = f"{name}_ready"
        if not conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", (ready,)).fetchone():
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            upgrade(Settings.from_mapping({**stack, "DB_NAME": name}).sqlalchemy_url)
            conn.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(ready)))
    return ready


@pytest.fixture
def database_settings(stack: dict[str, str], template: str) -> Iterator[Settings]:
    """Settings whose database is new, migrated and empty, and is dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    with _admin(stack) as conn:
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        conn.execute(copy.format(sql.Identifier(name), sql.Identifier(template)))
        # A copy does not take the template's own settings with it.
        conn.execute(sql.SQL("ALTER DATABASE {} SET search_path = fintrack, public").format(sql.Identifier(name)))
        try:
            yield Settings.from_mapping({**stack, "DB_NAME": name, "ENVIRONMENT": "test"})
        finally:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database_variables(database_settings: Settings) -> dict[str, str]:
    """The variables that point a process at the test's own database."""
    return {
        "DB_HOST": database_settings.db_host,
        "DB_PORT": str(database_settings.db_port),
        "DB_NAME": database_settings.db_name,
        "DB_USER": database_settings.db_user,
        "DB_PASSWORD": database_settings.db_password.get_secret_value(),
    }


@pytest.fixture
def database(database_settings: Settings) -> Iterator[Database]:
    made = Database(database_settings, pool_size=4)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def conn(database: Database) -> Iterator[psycopg.Connection]:
    with database.connection() as connection:
        yield connection
