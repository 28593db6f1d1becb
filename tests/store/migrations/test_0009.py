"""The migration of capital gains and unkept ranges goes back and forth; what fits the older form stays."""

from __future__ import annotations

import psycopg
import pytest
from alembic import command
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from fintrack_tasks.domain import Kind
from fintrack_tasks.settings import Settings
from fintrack_tasks.store.migrate import _config, head, upgrade
from tests.store.items import NOW, make_run

pytestmark = pytest.mark.integration


def test_capital_gains_go_and_dividends_stay(conn: psycopg.Connection, owner_settings: Settings) -> None:
    _, [item] = make_run(conn, ["VWILX"], Kind.BARS)
    for kind, amount in (("capital_gain", "6.42"), ("dividend", "1.437")):
        conn.execute(
            "INSERT INTO fintrack.corporate_actions (instrument_id, ex_date, effective_at, kind, amount, source,"
            " item_id, first_seen, changed_at) VALUES (%s, '2025-12-17', %s, %s, %s, 'x', %s, %s, %s)",
            (item.instrument_id, NOW, kind, amount, item.id, NOW, NOW),
        )
    with pytest.raises(psycopg.errors.CheckViolation):
        conn.execute("UPDATE fintrack.corporate_actions SET kind = 'bonus'")
    engine = create_engine(owner_settings.sqlalchemy_url, poolclass=NullPool)
    with engine.connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0008")
        connection.commit()
    engine.dispose()
    assert conn.execute("SELECT kind FROM corporate_action_factors").fetchall() == [("dividend",)]
    assert upgrade(owner_settings.sqlalchemy_url) == head()
    assert conn.execute("SELECT kind FROM corporate_action_factors").fetchall() == [("dividend",)]
