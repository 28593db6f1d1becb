"""The items of a run: registered instruments by class, windows within the history of interest."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from fintrack_tasks.domain import Instrument, from_micros
from fintrack_tasks.errors import UsageError
from fintrack_tasks.sandbox import Running
from fintrack_tasks.store import instruments
from tests.fixtures_stages import Stages

pytestmark = pytest.mark.integration

NOW = datetime(2026, 6, 17, 16, 0, tzinfo=UTC)


@pytest.fixture
def stages(make_stages: Callable[..., Stages], market: Running) -> Stages:
    return make_stages(NOW, market=market)


def test_a_plan_for_all_registered_instruments_follows_their_classes(stages: Stages, conn: psycopg.Connection) -> None:
    instruments.add(conn, [Instrument.of(symbol) for symbol in ("AAPL", "^GSPC", "^VIX", "BTC-USD")])
    stages.plan("ADHOC")  # known from now on, but not registered
    for job, named, expected in (
        ("fetch_market_data", {}, {"AAPL", "^GSPC", "^VIX", "BTC-USD"}),
        ("fetch_market_data", {"asset_class": "crypto"}, {"BTC-USD"}),
        ("fetch_market_index_data", {"end": "2018-06-01"}, {"^GSPC", "^VIX"}),
    ):
        made = stages.plan(job=job, **named)  # type: ignore[arg-type]
        assert {item.instrument.symbol for item in made} == expected


def test_windows_end_where_the_history_of_interest_does(stages: Stages) -> None:
    span = {"job": "fetch_historical_market_data", "start": "2025-01-01", "end": "2026-01-01"}
    items = stages.plan("AAPL", **span, intervals=["1d", "1h"])
    assert {str(item.interval) for item in items} == {"1d", "1h"}
    for item in items:
        assert item.window is not None
        assert item.window.start >= datetime(2025, 1, 1, tzinfo=UTC)
        assert item.window.end <= from_micros(0).replace(year=2026) + timedelta(days=1)
    with pytest.raises(UsageError, match="nothing lies between"):
        stages.plan("AAPL", job="fetch_historical_market_data", start=NOW.isoformat())
