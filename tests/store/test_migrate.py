"""Migrations: from nothing to the newest and back, by several at once, with the rights that each role needs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import create_engine, text

from fintrack_tasks import store
from fintrack_tasks.errors import ConfigurationError, OutageError
from fintrack_tasks.queries.overview import totals
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database
from fintrack_tasks.store.connection import require_schema
from fintrack_tasks.store.migrate import head, upgrade
from fintrack_tasks.transform import INDICATORS

pytestmark = pytest.mark.integration


@pytest.fixture
def empty(make_empty: Callable[..., Settings]) -> Settings:
    return make_empty()


def test_an_empty_database_is_brought_to_the_newest_revision_by_several_at_once(empty: Settings) -> None:
    database = Database(empty)
    with database.connection() as conn, pytest.raises(ConfigurationError, match="fintrack db upgrade"):
        require_schema(conn)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(upgrade(empty.sqlalchemy_url))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [head()] * 3
    with database.connection() as conn:
        require_schema(conn)
        assert totals(conn) == {"quotes": 0, "bars": 0, "index_indicators": 0}
    database.close()


def test_the_indicators_migration_can_be_taken_back_and_keeps_the_rights_of_its_view(empty: Settings) -> None:
    upgrade(empty.sqlalchemy_url)
    engine = create_engine(empty.sqlalchemy_url)
    for step in ("downgrade", "upgrade"):
        with engine.begin() as connection:
            script = ScriptDirectory(str(Path(store.__file__).parent / "migrations")).get_revision("0004").module
            with Operations.context(MigrationContext.configure(connection)):
                getattr(script, step)()
            columns = connection.execute(text("SELECT * FROM fintrack.market_index_data")).keys()
            granted = "SELECT has_table_privilege('fintrack_reader', 'fintrack.market_index_data', 'SELECT')"
            assert connection.execute(text(granted)).scalar() is True
        assert {"sma_20", "volatility_20"} <= set(columns)
        assert ("atr_14" in columns) is (step == "upgrade")
    engine.dispose()


def test_views_are_found_without_naming_the_schema_and_have_the_promised_columns(conn: psycopg.Connection) -> None:
    promised = {
        "market_data": ["symbol", "timestamp", "price", "volume", "currency", "source"],
        "historical_market_data": [
            "symbol", "interval", "timestamp", "open", "high", "low", "close", "adj_close", "volume", "is_final",
            "source",
        ],
        "market_index_data": ["symbol", "interval", "timestamp", "close", "volume", "is_final", *INDICATORS],
    }  # fmt: skip
    for view, columns in promised.items():
        described = conn.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(view))).description or ()
        assert set(columns) <= {column.name for column in described}


def test_a_server_that_is_down_is_named_without_the_password() -> None:
    settings = Settings.from_mapping({"DB_HOST": "127.0.0.1", "DB_PORT": "1", "DB_PASSWORD": "hidden-away"})
    with pytest.raises(OutageError, match=r"PostgreSQL does not answer at 127\.0\.0\.1:1") as caught:
        upgrade(settings.sqlalchemy_url)
    assert "hidden-away" not in str(caught.value)
