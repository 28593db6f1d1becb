"""Impossible arguments of a run are refused before anything is planned; possible ones become typed values."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fintrack_tasks.domain import AssetClass
from fintrack_tasks.errors import UsageError
from fintrack_tasks.pipeline.run_arguments import check_arguments

NOW = datetime(2026, 6, 17, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("job", "named", "said"),
    [
        ("fetch_nothing", {}, "unknown job"),
        ("fetch_market_data", {"symbols": []}, "empty"),
        ("fetch_market_data", {"symbols": "AAPL"}, "must be a list"),
        ("fetch_market_data", {"symbols": [7]}, "not a symbol"),
        ("fetch_market_data", {"symbols": ["AAPL; DROP TABLE quotes"]}, "not a symbol"),
        ("fetch_market_data", {"symbols": ["AAPL"], "asset_class": "bond"}, "bond"),
        ("fetch_historical_market_data", {"intervals": ["2d"]}, "2d"),
        ("fetch_historical_market_data", {"intervals": []}, "empty"),
        ("fetch_historical_market_data", {"start": "2024-13-01"}, "start is no date"),
        ("fetch_historical_market_data", {"start": "2024-02-01", "end": "2024-01-01"}, "after the start"),
        ("fetch_historical_market_data", {"start": "2024-02-01", "end": "2024-02-01"}, "after the start"),
        ("fetch_historical_market_data", {"start": "0001-01-01"}, "1900"),
        ("fetch_historical_market_data", {"start": "3000-01-01", "end": "3001-01-01"}, "future"),
        ("fetch_historical_market_data", {"consensus": 2}, "does not take consensus"),
        ("fetch_historical_market_data", {"budget": "all"}, "real_time, gap_repair, deep_backfill"),
        ("fetch_historical_market_data", {"intervals": ["7q"]}, "1d, 1h, 15m"),
        ("fetch_market_data", {"start": "2013-01-01"}, "does not take start"),
        ("fetch_market_data", {"refetch": True}, "does not take refetch"),
        ("fetch_market_index_data", {"refetch": True}, "does not take refetch"),
        ("fetch_market_data", {"intervals": ["1d"], "end": "2013-01-01"}, "does not take intervals and end"),
        ("fetch_market_data", {"consensus": 1}, "2 to"),
        ("fetch_market_data", {"consensus": 99}, "2 to"),
        ("fetch_market_data", {"asset_class": "bond"}, "stock, crypto, forex, index"),
        ("fetch_market_index_data", {"intervals": ["2h"]}, "1d, 1h, 15m"),
    ],
)
def test_impossible_arguments_are_a_usage_error(job: str, named: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_arguments(job, now=NOW, **named)  # type: ignore[arg-type]


def test_a_symbol_gets_its_class_by_form_and_a_given_class_overrules_it() -> None:
    by_form = check_arguments("fetch_market_data", ["^GSPC", "BTC-USD", "EUR/USD", "eurusd=x", "aapl"], now=NOW).symbols
    assert by_form is not None
    assert [(i.symbol, i.asset_class) for i in by_form] == [
        ("^GSPC", AssetClass.INDEX),
        ("BTC-USD", AssetClass.CRYPTO),
        ("EURUSD=X", AssetClass.FOREX),
        ("AAPL", AssetClass.STOCK),
    ]
    overruled = check_arguments("fetch_market_data", ["BTC-USD"], asset_class="stock", now=NOW).symbols
    assert overruled is not None
    assert overruled[0].asset_class is AssetClass.STOCK


def test_times_without_a_zone_are_read_as_utc_and_others_are_converted() -> None:
    arguments = check_arguments(
        "fetch_historical_market_data", start="2024-01-31", end="2024-02-01T02:00:00+02:00", now=NOW
    )
    assert arguments.start == datetime(2024, 1, 31, tzinfo=UTC)
    assert arguments.end == datetime(2024, 2, 1, tzinfo=UTC)


def test_a_start_is_in_the_future_by_the_callers_clock() -> None:
    start = "2026-06-17T16:00:01+00:00"
    with pytest.raises(UsageError, match="future"):
        check_arguments("fetch_historical_market_data", start=start, now=NOW)
    later = NOW.replace(hour=17)
    assert check_arguments("fetch_historical_market_data", start=start, now=later).start is not None
