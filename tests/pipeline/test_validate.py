"""Rows that a check rejects go to quarantine, the rest go on to the load."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pytest

from fintrack_tasks import pipeline
from fintrack_tasks.domain import Batch, Interval, Kind, to_micros
from fintrack_tasks.sandbox import Running
from tests.fixtures_stages import Stages

pytestmark = pytest.mark.integration

NOW = datetime(2026, 6, 17, 16, 0, tzinfo=UTC)


@pytest.fixture
def stages(make_stages: Callable[..., Stages], market: Running) -> Stages:
    return make_stages(NOW, market=market)


def test_bad_rows_are_quarantined_and_the_rest_is_loaded(stages: Stages, conn: psycopg.Connection) -> None:
    [item] = stages.plan("AAPL", job="fetch_historical_market_data", start="2009-06-01", end="2013-02-28")
    batch = stages.fetch(item)
    close = list(batch.columns["close"])
    bad = range(5, 900, 100)
    for position in bad:
        close[position] = "-1"
    good = stages.validate(item, batch.with_columns(close=close))
    assert len(good) == len(batch) - len(bad)
    assert stages.load(item, good) == pipeline.Ended("loaded")
    assert conn.execute("SELECT count(DISTINCT row_key), min(rule) FROM fintrack.quarantine").fetchone() == (
        9,
        "value_ranges",
    )
    row = stages.row(item)
    assert (row["rows_loaded"], row["rows_quarantined"]) == (len(batch) - 9, 9)


def test_an_item_whose_rows_are_all_rejected_fails_with_that_reason(stages: Stages) -> None:
    [item] = stages.plan("AAPL")
    batch = stages.fetch(item)
    assert stages.validate(item, batch.with_columns(price=["-5"])) == pipeline.Ended("failed", "rejected")
    assert "value_ranges" in stages.row(item)["detail"]


def test_a_split_and_a_dividend_told_beside_rows_that_are_all_rejected_are_known(
    stages: Stages, conn: psycopg.Connection
) -> None:
    [item] = stages.plan("AAPL", job="fetch_historical_market_data", start="2012-01-03", end="2012-01-04")
    day = datetime(2012, 1, 3, tzinfo=UTC)
    columns = {"open": "100", "high": "90", "low": "110", "close": "100", "volume": "5", "timestamp": to_micros(day)}
    meta = {"splits": [[to_micros(day), "4", "1"]], "dividends": [[to_micros(day), "50"]]}
    cells = {name: [cell] for name, cell in columns.items()}
    batch = Batch(Kind.BARS, "AAPL", "alpha_vantage", cells, "GBp", Interval.D1, meta)
    for ended in (pipeline.Ended("failed", "rejected"), pipeline.Ended("stale")):
        assert stages.validate(item, batch) == ended
    assert stages.row(item)["rows_quarantined"] == 1
    assert conn.execute(
        "SELECT kind, ex_date, numerator / denominator, amount, currency, source FROM fintrack.corporate_actions"
        " ORDER BY kind"
    ).fetchall() == [
        ("dividend", day.date(), None, Decimal("0.50"), "GBP", "alpha_vantage"),
        ("split", day.date(), 4, None, None, "alpha_vantage"),
    ]
