"""A migrated database of each test's own, on the shared PostgreSQL: copied from a template in some 50 ms.

What is tested logs in as the services do, as a writer or a reader. The owner makes and drops databases and migrates;
a test that has to do what no service may asks for ``owner_settings`` or ``owner``.
"""

from __future__ import annotations

import fcntl
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from fintrack_tasks.embedded import Stack
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database
from fintrack_tasks.store.migrate import head, upgrade


@pytest.fixture(scope="session")
def owner_variables(stack: dict[str, str]) -> dict[str, str]:
    """The variables of the login that owns the shared server; ``stack`` has those of the writer and the reader."""
    from tests.conftest import SHARED_HOME

    return {**stack, **Stack(SHARED_HOME).owner_environment()}


@pytest.fixture(scope="session")
def server_owner(owner_variables: dict[str, str]) -> Settings:
    """Settings of the shared server's owner, in its own database: for what makes and drops databases and roles."""
    return Settings.from_mapping({**owner_variables, "DB_NAME": "postgres"}).as_owner()


def _admin(server_owner: Settings) -> psycopg.Connection:
    return psycopg.connect(**server_owner.conninfo, autocommit=True)


@pytest.fixture(scope="session")
def template(server_owner: Settings) -> str:
    """The name of a database that is migrated to this checkout's newest revision, made once per run."""
    migrations = Path(__file__).resolve().parents[1] / "fintrack_tasks" / "store" / "migrations" / "versions"
    changed = int(max(path.stat().st_mtime for path in migrations.glob("*.py")))
    name = f"template_{head()}_{changed}"
    lock = Path(__file__).resolve().parents[1] / ".fintrack" / "template.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held, _admin(server_owner) as conn:
        fcntl.flock(held, fcntl.LOCK_EX)
        ready = f"{name}_ready"
        if not conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", (ready,)).fetchone():
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            upgrade(server_owner.model_copy(update={"db_name": name}).sqlalchemy_url)
            conn.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(ready)))
    return ready


@pytest.fixture
def database_settings(stack: dict[str, str], server_owner: Settings, template: str) -> Iterator[Settings]:
    """Settings whose database is new, migrated and empty, and is dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    with _admin(server_owner) as conn:
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        conn.execute(copy.format(sql.Identifier(name), sql.Identifier(template)))
        # A copy does not take the template's own settings with it.
        conn.execute(sql.SQL("ALTER DATABASE {} SET search_path = fintrack, public").format(sql.Identifier(name)))
        try:
            yield Settings.from_mapping({**stack, "DB_NAME": name, "ENVIRONMENT": "test"})
        finally:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def make_empty(server_owner: Settings) -> Iterator[Callable[..., Settings]]:
    """Makes databases in which nothing is yet, of an owner; gives the server's owner's settings of each."""
    made: list[sql.Identifier] = []

    def make(database_owner: str = server_owner.db_user) -> Settings:
        name = f"empty_{uuid.uuid4().hex[:12]}"
        made.append(sql.Identifier(name))
        with _admin(server_owner) as conn:
            conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(made[-1], sql.Identifier(database_owner)))
        return server_owner.model_copy(update={"db_name": name})

    yield make
    with _admin(server_owner) as conn:
        for name in made:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def database_variables(database_settings: Settings) -> dict[str, str]:
    """The variables that point a process at the test's own database."""
    return {
        "DB_HOST": database_settings.db_host,
        "DB_PORT": str(database_settings.db_port),
        "DB_NAME": database_settings.db_name,
        "DB_USER": database_settings.db_user,
        "DB_PASSWORD": database_settings.db_password.get_secret_value(),
        "DB_READER_USER": database_settings.db_reader_user,
        "DB_READER_PASSWORD": database_settings.db_reader_password.get_secret_value(),
    }


@pytest.fixture
def owner_settings(database_settings: Settings, server_owner: Settings) -> Settings:
    """Settings of the test's own database under the login that migrates it."""
    return server_owner.model_copy(update={"db_name": database_settings.db_name})


@pytest.fixture
def owner(owner_settings: Settings) -> Iterator[psycopg.Connection]:
    """A connection of who may do what no service may: alter tables, make roles."""
    with psycopg.connect(**owner_settings.conninfo, autocommit=True) as connection:
        yield connection


@pytest.fixture
def reader(database_settings: Settings) -> Iterator[psycopg.Connection]:
    """A connection as the commands that only read have it."""
    made = Database(database_settings.as_reader(), pool_size=1)
    try:
        with made.connection() as connection:
            yield connection
    finally:
        made.close()


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
