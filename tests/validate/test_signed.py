"""Prices at or below zero, and zeros that are none.

CL=F of April 2020 and ^IRX of March 2020 as they were published; JNJ of January 1970 as Yahoo gives it (yfinance#1281).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from fintrack_tasks.domain import AssetClass, Batch, Finding, Interval, Kind, to_micros
from fintrack_tasks.session_times import calendar_sessions
from fintrack_tasks.validate import DataValidator, ValidationContext, check_batch, split
from fintrack_tasks.validate.rules import unstorable

NOW = datetime(2026, 11, 28, tzinfo=UTC)
OIL = [("2020-04-17", "19.87", "20", "17.3", "18.27"), ("2020-04-20", "17.73", "17.85", "-40.32", "-37.63"),
       ("2020-04-21", "-14", "13.86", "-16.74", "10.01")]  # fmt: skip
BILLS = [("2020-03-25", "-0.033", "-0.033", "-0.07", "-0.038"), ("2020-03-26", "-0.05", "-0.04", "-0.105", "-0.105"),
         ("2020-03-27", "0", "0.013", "-0.023", "-0.023")]  # fmt: skip
JNJ = [("1970-01-02", "0", "3.2037", "3.1713", "3.1944"), ("1970-01-05", "0.0", "3.2176", "3.1898", "3.2176"),
       ("1970-01-06", "3.2176", "3.2778", "3.2176", "3.2454")]  # fmt: skip
NULLS: list[tuple[Any, ...]] = [("1970-01-02", None, "3.2037", "3.1713", "3.1944"),
                                ("1970-01-05", None, None, None, "3.2176"),
                                ("1970-01-06", "3.2176", "3.2778", "3.2176", "3.2454")]  # fmt: skip


def bars(symbol: str, rows: list[tuple[Any, ...]], interval: Interval = Interval.D1) -> Batch:
    days, *prices = (list(column) for column in zip(*rows, strict=True))
    stamps = [to_micros(datetime.fromisoformat(day).replace(tzinfo=UTC)) for day in days]
    columns = dict(zip(("open", "high", "low", "close"), prices, strict=True))
    volume = [str(1000 + place) for place in range(len(rows))]
    return Batch(Kind.BARS, symbol, "x", {"timestamp": stamps, **columns, "volume": volume}, interval=interval)


def rejected(findings: list[Finding]) -> set[str]:
    return {one.rule for one in findings if one.severity == "reject"}


@pytest.mark.parametrize(
    ("symbol", "kind", "rows", "calendar"),
    [("CL=F", AssetClass.COMMODITY, OIL, "futures"), ("^IRX", AssetClass.INDEX, BILLS, "XNYS")],
)
def test_futures_and_yields_stand_at_and_below_zero(
    symbol: str, kind: AssetClass, rows: list[tuple[str, ...]], calendar: str
) -> None:
    batch = bars(symbol, rows)
    for context in (None, ValidationContext(kind), ValidationContext(kind, calendar_sessions(calendar))):
        found = check_batch(batch, NOW, context=context)
        assert rejected(found) == set()
        assert split(batch, found) == (batch, [])
    one = Batch(Kind.QUOTE, symbol, "x", {"timestamp": [batch.columns["timestamp"][1]], "price": [rows[1][4]],
                                          "volume": [None], "previous_close": [rows[0][4]]})  # fmt: skip
    assert rejected(check_batch(one, NOW, context=ValidationContext(kind))) == set()


def test_a_wrong_range_is_found_below_zero_too() -> None:
    batch = bars("CL=F", [("2020-04-20", "-14", "-16", "-12", "-13")])
    assert rejected(check_batch(batch, NOW)) == {"ohlc"}


@pytest.mark.parametrize("symbol", ["AAPL", "BTC-USD", "EURUSD=X", "^GSPC"])
@pytest.mark.parametrize("cell", ["-1", "0"])
def test_no_other_close_is_at_or_below_zero(symbol: str, cell: str) -> None:
    batch = bars(symbol, [("2020-04-20", "1", "2", cell, cell)])
    found = check_batch(batch, NOW)
    assert "value_ranges" in rejected(found)
    assert unstorable(sorted(rejected(found)), batch.columns["timestamp"][0]) == "value_ranges"


def test_a_yield_that_moves_a_hundredfold_is_no_unit_error() -> None:
    rows = [(f"2015-09-{day:02}", *["0.01"] * 4) for day in range(1, 30)] + [("2015-09-30", *["1.0"] * 4)]
    context = ValidationContext(AssetClass.INDEX)
    assert rejected(check_batch(bars("^IRX", rows), NOW, context=context)) == set()
    assert rejected(check_batch(bars("^GSPC", rows), NOW, context=context)) == {"unit_error"}


def test_a_zero_beside_a_right_close_is_null_with_a_finding_and_the_rest_stands() -> None:
    batch = bars("JNJ", JNJ)
    for context in (None, ValidationContext(AssetClass.STOCK, calendar_sessions("XNYS"))):
        found = check_batch(batch, NOW, context=context)
        assert [(one.rule, one.severity, one.row) for one in found] == [
            ("unknown_price", "flag", 0),
            ("unknown_price", "flag", 1),
        ]
        good, bad = split(batch, found)
        assert bad == []
        assert good.columns["open"] == [None, None, "3.2176"]
        assert good.columns["close"] == ["3.1944", "3.2176", "3.2454"]
        assert unstorable(["unknown_price"], batch.columns["timestamp"][0]) is None


def test_a_close_stands_alone_and_a_low_of_zero_is_none() -> None:
    """PETR4.SA of August 2020 (yfinance#415), and an hour of NZDUSD=X (yfinance#315)."""
    day = bars("PETR4.SA", [("2020-08-10", "0", "0", "0", "23.4")])
    hour = bars("NZDUSD=X", [("2018-07-26T21:00", "0.6785", "0.6785", "0", "0.6785")], Interval.H1)
    for batch in (day, hour):
        found = check_batch(batch, NOW)
        assert {one.rule for one in found} == {"unknown_price"}
        good, bad = split(batch, found)
        assert (len(good), bad) == (1, [])
        assert good.columns["low"] == [None]


def test_what_is_left_of_a_bar_with_a_zero_is_still_checked() -> None:
    found = check_batch(bars("JNJ", [("1970-01-02", "0", "3.1", "3.0", "3.2")]), NOW)
    assert rejected(found) == {"ohlc"}


def test_a_frame_of_stored_bars_with_unknown_opens_is_valid() -> None:
    frame = pd.DataFrame(
        {
            "symbol": ["JNJ", "CL=F"],
            "timestamp": pd.to_datetime(["1970-01-02", "2020-04-20"], utc=True),
            "open": [None, 17.73],
            "high": [3.2037, 17.85],
            "low": [3.1713, -40.32],
            "close": [3.1944, -37.63],
            "volume": [374400, 247947],
        }
    )
    result = DataValidator().validate_bars(frame)
    assert result.is_valid
    assert [(one.rule, one.row) for one in result.findings] == [("unknown_price", 0)]


def test_a_frame_of_quotes_may_hold_a_negative_price_of_oil_alone() -> None:
    frame = pd.DataFrame(
        {
            "symbol": ["CL=F", "^IRX", "AAPL"],
            "timestamp": pd.to_datetime(["2020-04-20"] * 3, utc=True),
            "price": [-37.63, 0.0, -1.0],
            "volume": [1, None, 1],
        }
    )
    result = DataValidator().validate_market_data(frame)
    assert [(one.rule, one.row) for one in result.findings] == [("value_ranges", 2)]
