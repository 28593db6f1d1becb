"""The migration of splits, dividends and conversion goes back and forth and leaves what was there."""

from __future__ import annotations

import psycopg
import pytest
from alembic import command
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from fintrack_tasks.domain import Kind
from fintrack_tasks.settings import Settings
from fintrack_tasks.store.bars import load_bars
from fintrack_tasks.store.migrate import _config, head, upgrade
from tests.store.items import NOW, bars, event, make_run

pytestmark = pytest.mark.integration


def test_it_goes_back_and_forth_and_bars_stay(conn: psycopg.Connection, owner_settings: Settings) -> None:
    _, [item] = make_run(conn, ["AAPL"], Kind.BARS)
    load_bars(conn, item, bars(item, ["10", "11"]), event(item), NOW, [True, True])
    engine = create_engine(owner_settings.sqlalchemy_url, poolclass=NullPool)
    with engine.connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
        connection.commit()
    engine.dispose()
    assert conn.execute("SELECT to_regclass('fintrack.corporate_actions')").fetchone() == (None,)
    assert upgrade(owner_settings.sqlalchemy_url) == head()
    assert conn.execute("SELECT split_close, adjusted_to FROM historical_market_data_adjusted").fetchall() == [
        (10, None), (11, None)
    ]  # fmt: skip
