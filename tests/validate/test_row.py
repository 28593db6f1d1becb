"""One row by itself: types, ranges, time and OHLC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fintrack_tasks.domain import QUOTE_COLUMNS, AssetClass, Batch, Finding, Interval, Kind, to_micros
from fintrack_tasks.session_times import calendar_sessions
from fintrack_tasks.validate import Limits, ValidationContext, check_batch, split
from fintrack_tasks.validate.row import check_row
from fintrack_tasks.validate.rules import unstorable
from fintrack_tasks.validate.shapes import SHAPES
from tests.validate.batches import CELLS, NOW, STAMPS, bars, quote, rules
from tests.validate.published_prices import BILLS, JNJ, OIL, dated_bars


@pytest.mark.parametrize("price", ["0", "-1", "-0.0", "nan", "inf", "-Infinity", "1e999", None])
def test_a_price_has_to_be_known_finite_and_above_zero(price: str | None) -> None:
    assert rules(quote(price=price)) == [("value_ranges", 0)]
    assert rules(bars(close=["11", price, "11", "11"])) == [("value_ranges", 1)]


@pytest.mark.parametrize("price", ["", "abc", "1_000", "1,5", "٣", 189.5, 189, True, [1], {"raw": 1}, b"1"])
def test_a_number_that_is_no_decimal_text_is_of_a_wrong_type(price: Any) -> None:
    assert rules(quote(price=price)) == [("data_types", 0)]
    assert rules(bars(adj_close=["11", price, "11", "11"])) == [("data_types", 1)]


def test_a_volume_may_be_unknown_or_zero_but_not_negative() -> None:
    assert rules(quote(volume=None)) == []
    assert rules(quote(volume="0")) == []
    assert rules(quote(volume="-1")) == [("value_ranges", 0)]
    assert rules(bars(volume=[None, "-1", "0", "5"])) == [("value_ranges", 1)]


def test_what_is_not_required_may_be_null_but_not_garbage() -> None:
    assert rules(quote(previous_close=None, bid=None, ask="0")) == []
    assert rules(quote(bid="none")) == [("data_types", 0)]
    assert rules(quote(previous_close="inf")) == [("value_ranges", 0)]


@pytest.mark.parametrize(
    ("ahead", "found"), [(timedelta(minutes=5), []), (timedelta(minutes=5, microseconds=1), [("timestamps", 0)])]
)
def test_a_quote_may_be_five_minutes_ahead_of_the_clock(ahead: timedelta, found: list[Any]) -> None:
    assert rules(quote(timestamp=to_micros(NOW + ahead))) == found


def test_a_daily_bar_of_a_session_east_of_greenwich_may_carry_tomorrows_date() -> None:
    """Auckland's session of the 4th opens on the 3rd at 22:00 UTC and is stamped 2024-06-04T00:00Z."""
    opened = datetime(2024, 6, 3, 22, 0, tzinfo=UTC)
    batch = bars(1, timestamp=[to_micros(datetime(2024, 6, 4, tzinfo=UTC))])
    assert check_batch(batch, opened) == []
    assert [one.rule for one in check_batch(batch, opened - timedelta(days=1))] == ["timestamps"]


def test_a_time_before_1900_or_beyond_all_calendars_is_rejected() -> None:
    assert rules(quote(timestamp=to_micros(datetime(1899, 12, 31, tzinfo=UTC)))) == [("timestamps", 0)]
    assert rules(quote(timestamp=10**18)) == [("timestamps", 0)]
    assert rules(quote(timestamp=10**30)) == [("timestamps", 0)]
    assert rules(quote(timestamp=None)) == [("timestamps", 0)]
    assert rules(bars(2, timestamp=[0, 10**30])) == [("timestamps", 1)]
    assert rules(bars(2, timestamp=[0, 2**63 - 1])) == [("timestamps", 1)]


@pytest.mark.parametrize("stamp", ["2024-01-01", 1.5, True, [1]])
def test_a_time_that_is_no_integer_is_of_a_wrong_type(stamp: Any) -> None:
    assert rules(quote(timestamp=stamp)) == [("data_types", 0)]
    assert rules(bars(2, timestamp=[0, stamp])) == [("data_types", 1)]


@pytest.mark.parametrize(
    ("column", "value"), [("open", "12.6"), ("open", "8.9"), ("close", "12.6"), ("close", "8.9"), ("high", "10.5")]
)
def test_open_and_close_lie_between_low_and_high(column: str, value: str) -> None:
    assert rules(bars(**{column: ["11", value, "11", "11"]}))[:1] == [("ohlc", 1)]


def test_swapped_high_and_low_are_found_and_equality_is_right() -> None:
    assert ("ohlc", 0) in rules(bars(1, high=["9"], low=["12.5"]))
    assert rules(bars(1, open=["5"], high=["5"], low=["5"], close=["5"])) == []


def test_an_ohlc_tolerance_is_relative() -> None:
    batch = bars(1, close=["12.5001"])
    assert rules(batch) == [("ohlc", 0)]
    assert rules(batch, Limits(ohlc_tolerance=1e-4)) == []


@given(st.dictionaries(st.sampled_from(QUOTE_COLUMNS), st.one_of(CELLS, STAMPS)))
@example({})
def test_a_row_of_anything_is_judged_without_an_error(cells: dict[str, Any]) -> None:
    for shape in SHAPES.values():
        check_row(0, cells, shape, (0, 1))


LATER = datetime(2026, 11, 28, tzinfo=UTC)


def rejected(findings: list[Finding]) -> set[str]:
    return {one.rule for one in findings if one.severity == "reject"}


@pytest.mark.parametrize(
    ("symbol", "kind", "rows", "calendar"),
    [("CL=F", AssetClass.COMMODITY, OIL, "futures"), ("^IRX", AssetClass.INDEX, BILLS, "XNYS")],
)
def test_futures_and_yields_stand_at_and_below_zero(
    symbol: str, kind: AssetClass, rows: list[tuple[str, ...]], calendar: str
) -> None:
    batch = dated_bars(symbol, rows)
    for context in (None, ValidationContext(kind), ValidationContext(kind, calendar_sessions(calendar))):
        found = check_batch(batch, LATER, context=context)
        assert rejected(found) == set()
        assert split(batch, found) == (batch, [])
    one = Batch(Kind.QUOTE, symbol, "x", {"timestamp": [batch.columns["timestamp"][1]], "price": [rows[1][4]],
                                          "volume": [None], "previous_close": [rows[0][4]]})  # fmt: skip
    assert rejected(check_batch(one, LATER, context=ValidationContext(kind))) == set()


def test_a_wrong_range_is_found_below_zero_too() -> None:
    batch = dated_bars("CL=F", [("2020-04-20", "-14", "-16", "-12", "-13")])
    assert rejected(check_batch(batch, LATER)) == {"ohlc"}


@pytest.mark.parametrize("symbol", ["AAPL", "BTC-USD", "EURUSD=X", "^GSPC"])
@pytest.mark.parametrize("cell", ["-1", "0"])
def test_no_other_close_is_at_or_below_zero(symbol: str, cell: str) -> None:
    batch = dated_bars(symbol, [("2020-04-20", "1", "2", cell, cell)])
    found = check_batch(batch, LATER)
    assert "value_ranges" in rejected(found)
    assert unstorable(sorted(rejected(found)), batch.columns["timestamp"][0]) == "value_ranges"


def test_a_zero_beside_a_right_close_is_null_with_a_finding_and_the_rest_stands() -> None:
    batch = dated_bars("JNJ", JNJ)
    for context in (None, ValidationContext(AssetClass.STOCK, calendar_sessions("XNYS"))):
        found = check_batch(batch, LATER, context=context)
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
    day = dated_bars("PETR4.SA", [("2020-08-10", "0", "0", "0", "23.4")])
    hour = dated_bars("NZDUSD=X", [("2018-07-26T21:00", "0.6785", "0.6785", "0", "0.6785")], Interval.H1)
    for batch in (day, hour):
        found = check_batch(batch, LATER)
        assert {one.rule for one in found} == {"unknown_price"}
        good, bad = split(batch, found)
        assert (len(good), bad) == (1, [])
        assert good.columns["low"] == [None]


def test_what_is_left_of_a_bar_with_a_zero_is_still_checked() -> None:
    found = check_batch(dated_bars("JNJ", [("1970-01-02", "0", "3.1", "3.0", "3.2")]), LATER)
    assert rejected(found) == {"ohlc"}
