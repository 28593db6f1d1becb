"""Every connection has the session that the program relies on, whatever the database says (psycopg#571)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import create_engine, event, text
from sqlalchemy.pool import NullPool

from fintrack_tasks.domain import Kind
from fintrack_tasks.observability import HealthChecker
from fintrack_tasks.queries.explain import explain_values
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import Database, DatabaseConnection, migrate, session
from fintrack_tasks.store.bars import load_bars
from tests.e2e.harness import fintrack
from tests.store.items import NOW, bars, make_run
from tests.store.items import event as told

pytestmark = pytest.mark.integration

ODD = {
    "datestyle": "SQL, DMY",
    "timezone": "America/New_York",
    "intervalstyle": "sql_standard",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "search_path": "public",
    "default_transaction_isolation": "serializable",
    "statement_timeout": "60000",
}
MIDNIGHT = datetime(2005, 2, 3, tzinfo=UTC)
READ = (
    "SELECT '2005-02-03T00:00Z'::timestamptz, '2005-02-03'::date, interval '-1 day 2 hours', 0.1::float8,"
    " decode('00ff', 'hex'), current_setting('timezone'), current_setting('search_path'), 'ł'"
)
RIGHT = (
    MIDNIGHT, MIDNIGHT.date(), timedelta(days=-1, hours=2), 0.1, b"\x00\xff", "UTC", "fintrack, public", "ł",
)  # fmt: skip


@pytest.fixture
def odd(database_settings: Settings, owner: psycopg.Connection) -> Settings:
    """The test's database, with settings of its own that none of our statements expects."""
    make_odd(owner, database_settings.db_name)
    return database_settings


def make_odd(owner: psycopg.Connection, name: str) -> None:
    for setting, value in ODD.items():
        statement = sql.SQL("ALTER DATABASE {} SET {} = {}")
        words = value.split(", ") if setting == "datestyle" else [value]
        values = sql.SQL(", ").join(map(sql.Literal, words))
        owner.execute(statement.format(sql.Identifier(name), sql.Identifier(setting), values))


@pytest.fixture
def pooled(odd: Settings) -> Iterator[psycopg.Connection]:
    database = Database(odd, pool_size=1)
    with database.connection() as conn:
        yield conn
    database.close()


def test_the_database_is_odd(odd: Settings) -> None:
    with psycopg.connect(**odd.conninfo) as conn:
        shown = {name: conn.execute(f"SHOW {name}").fetchone() for name in ("datestyle", "timezone")}  # type: ignore[arg-type]
    assert shown == {"datestyle": ("SQL, DMY",), "timezone": ("America/New_York",)}


def test_the_pools_connections_read_times_and_numbers_as_they_are(pooled: psycopg.Connection) -> None:
    assert pooled.execute(READ).fetchone() == RIGHT
    assert pooled.execute("SHOW default_transaction_isolation").fetchone() == ("read committed",)
    for name, value in session.BOUNDED.items():
        assert pooled.execute(f"SHOW {name}").fetchone() == (value.replace("60s", "1min"),)  # type: ignore[arg-type]
    with pytest.raises(psycopg.errors.DivisionByZero), pooled.transaction():
        pooled.execute("SELECT 1 / 0")
    assert pooled.execute(READ).fetchone() == RIGHT, "a rollback takes nothing of it back"


def test_a_persons_connection_does_too_and_keeps_its_own_time_out(odd: Settings) -> None:
    with DatabaseConnection(settings=odd) as db:
        assert tuple(next(iter(db.query(f"SELECT * FROM ({READ}) AS r(a, b, c, d, e, f, g, h)"))).values()) == RIGHT
        assert db.query("SHOW statement_timeout") == [{"statement_timeout": "1min"}]


def test_sqlalchemys_does_too(odd: Settings) -> None:
    engine = create_engine(odd.sqlalchemy_url, poolclass=NullPool)
    event.listen(engine, "connect", lambda conn, _: session.prepare(conn, session.UNBOUNDED))
    with engine.connect() as conn:
        conn.rollback()
        assert tuple(conn.execute(text(READ.replace(":", "\\:"))).one()) == RIGHT
        assert conn.execute(text("SHOW statement_timeout")).scalar() == "0"
    engine.dispose()


def test_an_odd_database_is_migrated(make_empty: Callable[..., Settings], owner: psycopg.Connection) -> None:
    empty = make_empty()
    make_odd(owner, empty.db_name)
    assert migrate.upgrade(empty.sqlalchemy_url) == migrate.head()
    assert migrate.upgrade(empty.sqlalchemy_url) == migrate.head()


def test_it_is_healthy(odd: Settings) -> None:
    assert HealthChecker(settings=odd).check_system_health().checks["database"]["healthy"]


def test_bars_are_loaded_and_explained_on_their_own_day(
    odd: Settings, pooled: psycopg.Connection, database_variables: dict[str, str], tmp_path: Path
) -> None:
    _, [item] = make_run(pooled, ["AAPL"], Kind.BARS)
    load_bars(pooled, item, bars(item, ["10.1", "11.25"], first=MIDNIGHT), told(item), NOW, [True, True])
    [bar] = explain_values(pooled, item.instrument_id, item.instrument, MIDNIGHT)["bars"]
    assert (bar["timestamp"], bar["close"]) == (MIDNIGHT, Decimal("10.1"))
    shown = fintrack(tmp_path, "explain", "AAPL", "2005-02-03", "--json", environment=database_variables).stdout
    [bar] = json.loads(shown.splitlines()[-1])["bars"]
    assert bar["timestamp"].startswith("2005-02-03T00:00:00")
    assert "2005-02-04" in fintrack(tmp_path, "explain", "AAPL", "2005-02-04", environment=database_variables).stdout
