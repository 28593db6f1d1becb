"""The stored indicators of an index continue from stored bars as if the whole series were computed at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import psycopg
import pytest
import talib

from fintrack_tasks import pipeline
from fintrack_tasks.sandbox import Running
from fintrack_tasks.sandbox.prices import real_daily
from fintrack_tasks.transform import INDICATORS
from fintrack_tasks.transform.indicators import Prices, indicators
from tests.fixtures_stages import Stages

pytestmark = pytest.mark.integration

NOW = datetime(2026, 6, 17, 16, 0, tzinfo=UTC)


@pytest.fixture
def stages(make_stages: Callable[..., Stages], market: Running) -> Stages:
    return make_stages(NOW, market=market)


def test_an_index_gets_indicators_that_continue_from_the_stored_bars(stages: Stages, conn: psycopg.Connection) -> None:
    for start, end in (("2016-01-04", "2017-01-01"), ("2017-01-01", "2017-02-01")):
        [item] = stages.plan("^GSPC", job="fetch_market_index_data", start=start, end=end)
        assert stages.through(item) == pipeline.Ended("loaded")
    rows = conn.execute("SELECT timestamp, close, sma_20, sma_50 FROM market_index_data ORDER BY timestamp").fetchall()
    assert all(row[2] is not None and row[3] is not None for row in rows[49:])
    for position, (_, _, short, long) in list(enumerate(rows))[49:]:
        for mean, length in ((short, 20), (long, 50)):
            plain = sum(row[1] for row in rows[position - length + 1 : position + 1]) / length
            assert abs(mean - plain) < Decimal("1e-8") * plain


def test_a_stored_part_has_the_indicators_of_the_whole_history(stages: Stages, conn: psycopg.Connection) -> None:
    """Loaded year by year with what is stored before, against TA-Lib's and ours over the bundled closes."""
    for year in range(2014, 2018):
        for symbol in ("^GSPC", "^IXIC"):
            made = stages.plan(symbol, job="fetch_market_index_data", start=f"{year}-01-01", end=f"{year + 1}-01-01")
            assert stages.through(made[0]) == pipeline.Ended("loaded")
    index, own = (
        {day.day: day for day in real_daily()[symbol] if 2014 <= day.day.year < 2018} for symbol in ("^GSPC", "^IXIC")
    )
    columns = {
        name: np.array([float(getattr(day, name)) for day in own.values()])
        for name in ("close", "open", "high", "low", "volume")
    }
    whole = indicators(Prices(**columns, benchmark=np.array([day.close for day in index.values()])))
    np.testing.assert_array_equal(whole["ema_26"], talib.EMA(columns["close"], 26))
    rows = conn.execute(
        "SELECT timestamp, bars_seen, x.* FROM fintrack.index_indicators x JOIN fintrack.instruments i"
        " ON i.id = x.instrument_id AND i.symbol = '^IXIC' ORDER BY timestamp"
    )
    names = [column.name for column in rows.description or ()]
    found = dict(zip(names, zip(*rows, strict=True), strict=True))
    assert [moment.date() for moment in found["timestamp"]] == list(own)
    assert found["bars_seen"][-1] == len(own)
    for name in INDICATORS:
        stored = np.array([np.nan if cell is None else float(cell) for cell in found[name]])
        np.testing.assert_allclose(stored, whole[name], rtol=1e-9, err_msg=name)


def test_hourly_bars_of_an_index_are_fetched_once_and_continue_each_other_when_they_came_out_of_order(
    stages: Stages, conn: psycopg.Connection
) -> None:
    # The bundled days of ^GSPC end in 2018; an index that is not bundled trades on.
    items = stages.plan("^RUT", job="fetch_market_index_data", intervals=["1h"])
    assert len(items) == 4  # 720 days of seven bars a session
    for item in reversed(items):
        assert stages.through(item) == pipeline.Ended("loaded")
    began = conn.execute("SELECT count(*), min(timestamp), count(vwap) FROM market_index_data").fetchone()
    assert began is not None
    assert began[0] > 3_000
    assert began[1] >= NOW - timedelta(days=721)
    assert began[2] > 3_000
    again = stages.plan("^RUT", job="fetch_market_index_data", intervals=["1h"])
    # About a session, and the three before it, which may have been corrected.
    assert [(item.window.end - item.window.start) < timedelta(days=8) for item in again if item.window] == [True]
    closes = conn.execute("SELECT close, sma_200, ema_26, volume FROM market_index_data ORDER BY timestamp").fetchall()
    series = np.array([float(close) for close, *_ in closes])
    for column, expected in ((1, talib.SMA(series, 200)), (2, talib.EMA(series, 26))):
        stored = np.array([np.nan if row[column] is None else float(row[column]) for row in closes])
        np.testing.assert_allclose(stored, expected, rtol=1e-9)
