"""An item that went through all stages stands in the tables, and a second load of it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
import pytest

from fintrack_tasks import pipeline
from fintrack_tasks.domain import Batch, Kind
from fintrack_tasks.sandbox import Running
from tests.fixtures_stages import Stages

pytestmark = pytest.mark.integration

NOW = datetime(2026, 6, 17, 16, 0, tzinfo=UTC)


@pytest.fixture
def stages(make_stages: Callable[..., Stages], market: Running) -> Stages:
    return make_stages(NOW, market=market)


@pytest.mark.parametrize("symbol", ["AAPL", "^VIX", "EURUSD=X", "BTC-USD"])
def test_a_quote_goes_through_all_stages(stages: Stages, conn: psycopg.Connection, symbol: str) -> None:
    [item] = stages.plan(symbol)
    assert stages.through(item) == pipeline.Ended("loaded")
    row = conn.execute("SELECT symbol, timestamp, source, price > 0 FROM market_data").fetchone()
    assert row == (symbol, NOW, "yahoo_finance", True)
    assert stages.row(item)["payload"] is not None
    assert stages.load(item, Batch(Kind.QUOTE, symbol, "x", {"timestamp": [0], "price": ["1"]})).state == "stale"


def test_what_a_provider_leaves_out_is_not_asked_for_again(stages: Stages, conn: psycopg.Connection) -> None:
    [item] = stages.plan("AAPL", job="fetch_historical_market_data", start="2013-02-25", end="2013-03-09")
    assert stages.through(item) == pipeline.Ended("loaded")  # the bundled prices end on 2013-03-01
    spans = conn.execute("SELECT min(window_start), max(window_end) FROM fintrack.coverage WHERE state = 'unavailable'")
    assert spans.fetchone() == (datetime(2013, 3, 4, tzinfo=UTC), datetime(2013, 3, 9, tzinfo=UTC))
    assert stages.plan("AAPL", job="fetch_historical_market_data", start="2013-02-25", end="2013-03-09") == []
