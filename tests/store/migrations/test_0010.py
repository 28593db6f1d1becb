"""The migration of futures and signed prices: old registrations get their class, and it goes back and forth."""

from __future__ import annotations

import psycopg
import pytest
from alembic import command
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from fintrack_tasks.domain import AssetClass, Instrument, Kind
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import instruments
from fintrack_tasks.store.bars import load_bars
from fintrack_tasks.store.migrate import _config, head, upgrade
from tests.store.items import NOW, bars, event, make_run

pytestmark = pytest.mark.integration


def _downgrade(settings: Settings, revision: str) -> None:
    engine = create_engine(settings.sqlalchemy_url, poolclass=NullPool)
    with engine.connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
        connection.commit()
    engine.dispose()


def test_what_was_registered_by_an_older_form_gets_its_class_and_spelling(
    conn: psycopg.Connection, owner_settings: Settings
) -> None:
    _downgrade(owner_settings, "0009")
    conn.execute(
        "INSERT INTO fintrack.instruments (symbol, asset_class) VALUES"
        " ('GC=F', 'stock'), ('BRK.B', 'stock'), ('BF.B', 'stock'), ('BF-B', 'stock'), ('VOD.L', 'stock')"
    )
    assert upgrade(owner_settings.sqlalchemy_url) == head()
    found = {(i.symbol, i.asset_class.value) for _, i in instruments.active(conn)}
    assert found >= {
        ("GC=F", "commodity"),
        ("BRK-B", "stock"),
        ("BF.B", "stock"),
        ("BF-B", "stock"),
        ("VOD.L", "stock"),
    }


def test_a_future_and_its_negative_bar_are_stored_and_an_older_schema_leaves_what_it_can_hold(
    conn: psycopg.Connection, owner_settings: Settings
) -> None:
    _, [item] = make_run(conn, ["CL=F"], Kind.BARS)
    load_bars(conn, item, bars(item, ["18.27", "-37.63"]), event(item), NOW, [True, True])
    assert conn.execute("SELECT close::text FROM historical_market_data ORDER BY timestamp").fetchall() == [
        ("18.27",), ("-37.63",)
    ]  # fmt: skip
    _downgrade(owner_settings, "0009")
    assert conn.execute("SELECT count(*) FROM fintrack.bars").fetchone() == (1,)
    assert upgrade(owner_settings.sqlalchemy_url) == head()
    assert instruments.find(conn, Instrument("CL=F", AssetClass.COMMODITY)) is not None
