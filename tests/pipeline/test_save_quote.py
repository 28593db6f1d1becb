"""A quote of a person's program is checked and stored as a run of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pytest

from fintrack_tasks.errors import UsageError
from fintrack_tasks.pipeline.save_quote import save_quote
from fintrack_tasks.settings import Settings

pytestmark = pytest.mark.integration

NOW = datetime(2026, 6, 17, 16, 0, tzinfo=UTC)


def test_a_quote_of_ones_own_is_checked_and_stored(database_settings: Settings, conn: psycopg.Connection) -> None:
    at = datetime(2024, 5, 6, 15, 0, tzinfo=UTC)
    good = {"symbol": "AAPL", "price": 182.5, "volume": 10, "timestamp": at, "currency": "USD", "source": "mine"}
    save_quote(good, settings=database_settings, now=NOW)
    assert conn.execute("SELECT symbol, price, source, timestamp FROM market_data").fetchall() == [
        ("AAPL", Decimal("182.5"), "mine", at)
    ]
    for wrong in (
        {"price": -1},
        {"price": float("nan")},
        {"price": None},
        {"timestamp": "today"},
        {"symbol": "no symbol"},
    ):
        with pytest.raises(UsageError):
            save_quote({**good, **wrong}, settings=database_settings, now=NOW)
    with pytest.raises(UsageError):
        save_quote({"symbol": "AAPL"}, settings=database_settings, now=NOW)
