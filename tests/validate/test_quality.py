"""The metrics of one instrument, counted by hand from New York's calendar of May 2024 (the 27th is Memorial Day)."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from fintrack_tasks.domain import Instrument, Interval, to_micros
from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.validate.quality import (
    METRICS,
    QualityCounts,
    StoredSeries,
    count_bars,
    count_quote,
    measure,
    stored_series,
)

AAPL = Instrument.of("AAPL")
BITCOIN = Instrument.of("BTC-USD")


def at(day: int, hour: int = 0, minute: int = 0, month: int = 5) -> datetime:
    return datetime(2024, month, day, hour, minute, tzinfo=UTC)


def days(*numbers: int) -> set[int]:
    return {to_micros(at(number)) for number in numbers}


def values(*parts: QualityCounts) -> dict[str, float]:
    return {found.metric: found.value for found in measure(parts)}


# --- what should be there


def test_a_week_with_a_holiday_has_four_bars() -> None:
    part = count_bars(AAPL, Interval.D1, at(27), at(1, month=6), days(28, 29, 30, 31))
    assert (part.expected, part.present, part.late) == (4, 4, 0)


def test_a_missing_day_is_incomplete_and_not_late() -> None:
    part = count_bars(AAPL, Interval.D1, at(27), at(1, month=6), days(28, 29, 31))
    assert values(part)["completeness"] == 0.75
    assert values(part)["timeliness"] == 1.0


def test_days_that_are_missing_at_the_end_are_late() -> None:
    part = count_bars(AAPL, Interval.D1, at(27), at(1, month=6), days(28, 29))
    assert part.late == 2
    assert values(part)["timeliness"] == pytest.approx(1 / 3)


def test_a_weekend_makes_nothing_late() -> None:
    """Friday's bar is final from 20:20 UTC; nothing more comes before Monday's close at 20:00 UTC and its grace."""
    for moment in (at(3, 20, 20), at(4), at(5, 23), at(6, 20, 19)):
        assert count_bars(AAPL, Interval.D1, at(1), moment, days(1, 2, 3)).late == 0
    assert count_bars(AAPL, Interval.D1, at(1), at(6, 20, 20), days(1, 2, 3)).late == 1


def test_a_bar_that_may_still_change_is_not_expected_yet() -> None:
    part = count_bars(AAPL, Interval.D1, at(1), at(3, 20, 19), days(1, 2))
    assert (part.expected, part.late) == (2, 0)


def test_bars_on_days_without_a_session_count_for_nothing() -> None:
    part = count_bars(AAPL, Interval.D1, at(27), at(1, month=6), days(25, 26, 27))
    assert (part.expected, part.present, part.late) == (4, 0, math.inf)
    assert values(part) == {"completeness": 0.0, "requested": 0.0, "timeliness": 0.0}


def test_a_market_without_a_close_expects_every_hour() -> None:
    hours = {to_micros(at(4, hour)) for hour in range(24)}
    part = count_bars(BITCOIN, Interval.H1, at(4), at(5, 0, 1), hours - {to_micros(at(4, 7))})
    assert (part.expected, part.present) == (24, 23)


def test_a_span_in_which_nothing_is_expected_is_complete() -> None:
    for start, moment in ((at(4), at(5)), (at(5), at(4)), (at(5), at(5))):
        part = count_bars(AAPL, Interval.D1, start, moment, set())
        assert (part.expected, part.late) == (0, 0)
        assert values(part) == {"completeness": 1.0, "requested": 1.0, "timeliness": 1.0}


def test_an_unknown_calendar_is_named() -> None:
    strange = Instrument("AAPL", AAPL.asset_class, calendar="XMOON")
    with pytest.raises(ConfigurationError, match="XMOON"):
        count_bars(strange, Interval.D1, at(1), at(3), set())


# --- what is stored


def test_what_is_stored_is_complete_between_its_own_first_and_last_day_whatever_was_asked() -> None:
    """A week with a holiday: 28, 30 and 31 May are stored, the 29th is not; the run asked for 1981 in vain."""
    stored = sorted(days(28, 30, 31))
    found = stored_series(AAPL, Interval.D1, stored)
    assert found == StoredSeries(at(28), at(31), 4, 3)
    got = {each.metric: each for each in measure([QualityCounts("1d", 253, 0, None, series=found)])}
    assert got["completeness"].value == 0.75
    assert got["completeness"].detail == {
        "1d": {"expected": 4, "present": 3, "first": "2024-05-28", "last": "2024-05-31"}
    }
    assert got["requested"].value == 0.0
    assert got["requested"].detail == {"1d": {"expected": 253, "present": 0}}


def test_bars_on_days_without_a_session_fill_no_gap_of_what_is_stored() -> None:
    assert stored_series(AAPL, Interval.D1, sorted(days(24, 25, 26, 27, 29))) == StoredSeries(at(24), at(29), 3, 2)


def test_nothing_stored_is_no_series() -> None:
    assert stored_series(AAPL, Interval.D1, []) is None


# --- quotes


def test_a_quote_is_late_by_the_quarter_hours_of_trading_since() -> None:
    """Wednesday 15:00 to 16:00 UTC: the bars of 15:00, 15:15 and 15:30 are over, with 20 minutes of grace by 16:05."""
    assert count_quote(AAPL, at(8, 16, 5), loaded=True, newest=to_micros(at(8, 15))).late == 3
    assert count_quote(AAPL, at(8, 16, 5), loaded=True, newest=to_micros(at(8, 15, 50))).late == 0


def test_a_quote_of_fridays_close_is_on_time_until_mondays_trading() -> None:
    close = to_micros(at(3, 20))
    for moment in (at(3, 20, 30), at(5, 12), at(6, 13, 30), at(6, 14, 4)):
        assert count_quote(AAPL, moment, loaded=True, newest=close).late == 0
    assert count_quote(AAPL, at(6, 14, 5), loaded=True, newest=close).late == 1  # 13:30 to 13:45, and 20 minutes


def test_a_pairs_quote_of_fridays_close_in_new_york_is_on_time_until_sunday_evening() -> None:
    """Friday the 3rd of May ends at 21:00 UTC, Monday begins on Sunday at 21:00."""
    pair, close = Instrument.of("EURUSD=X"), to_micros(at(3, 20, 59))
    for moment in (at(3, 22), at(4, 12), at(5, 21, 15)):
        assert count_quote(pair, moment, loaded=True, newest=close).late == 0
    assert count_quote(pair, at(5, 21, 16), loaded=True, newest=close).late == 1


def test_a_quote_that_came_after_the_runs_moment_is_on_time() -> None:
    assert count_quote(AAPL, at(8, 16), loaded=True, newest=to_micros(at(8, 17))).late == 0


def test_a_quote_that_failed_is_incomplete_and_late_by_what_is_stored() -> None:
    assert values(count_quote(AAPL, at(8, 16, 5), loaded=False, newest=to_micros(at(8, 15)))) == {
        "completeness": 0.0,
        "requested": 0.0,
        "timeliness": 0.25,
    }
    assert values(count_quote(AAPL, at(8, 16, 5), loaded=False, newest=None))["timeliness"] == 0.0
    assert values(count_quote(AAPL, at(8, 16), loaded=False, newest=0))["timeliness"] < 0.01


# --- what came


def test_shares_are_of_the_rows_that_came_and_each_row_counts_once() -> None:
    """Ten rows: one with two findings of ranges, one swapped, one that repeats another, one flagged as a jump."""
    found = {
        "value_ranges": {1},
        "data_types": {1},
        "ohlc": {2},
        "duplicates": {3},
        "price_jump": {4},
    }
    got = values(QualityCounts("1d", 10, 10, 0, rows=10, findings=found))
    assert got == {
        "completeness": 1.0, "requested": 1.0, "accuracy": 0.6, "consistency": 0.8, "timeliness": 1.0, "validity": 0.9,
    }  # fmt: skip


def test_providers_that_disagree_take_from_a_quotes_consistency_alone() -> None:
    got = values(QualityCounts("quote", 1, 1, 0, rows=1, agreement=0.75))
    assert (got["consistency"], got["accuracy"], got["validity"]) == (0.75, 1.0, 1.0)


def test_a_batch_that_was_rejected_whole_scores_zero() -> None:
    got = values(QualityCounts("quote", 1, 0, 0, rows=1, findings={"value_ranges": {0}}))
    assert (got["completeness"], got["accuracy"], got["validity"], got["consistency"]) == (0, 0, 0, 1)


def test_parts_are_taken_together() -> None:
    """250 days and 2,000 hours expected; 249 and 1,990 there. The days are one late, the hours are not."""
    parts = [
        QualityCounts("1d", 250, 249, 1, rows=100, findings={"ohlc": {1}}),
        QualityCounts("1h", 2000, 1990, 0, rows=900),
    ]
    got = {each.metric: each for each in measure(parts)}
    assert got["completeness"].value == pytest.approx(2239 / 2250)
    assert got["timeliness"].value == pytest.approx((1 / 2 + 1) / 2)
    assert got["accuracy"].value == pytest.approx(999 / 1000)
    assert got["completeness"].detail == {
        "1d": {"expected": 250, "present": 249},
        "1h": {"expected": 2000, "present": 1990},
    }
    assert got["consistency"].detail == {"rows": 1000, "findings": {"ohlc": 1}}
    assert got["timeliness"].detail == {"1d": {"late_bars": 1}, "1h": {"late_bars": 0}}


def test_what_nobody_can_say_is_left_out() -> None:
    assert values(QualityCounts("quote", 1, 1, None)) == {"completeness": 1.0, "requested": 1.0}
    assert values() == {"completeness": 1.0, "requested": 1.0}


def test_bars_without_a_calendar_are_named_and_counted_for_nothing() -> None:
    undated = QualityCounts("1d", 0, 0, None, dated=False)
    [complete] = measure([undated])
    assert (complete.metric, complete.value, complete.detail) == ("completeness", 1.0, {"1d": {"calendar": None}})
    [complete, requested] = measure([undated, QualityCounts("quote", 1, 0, None)])
    assert (complete.value, requested.value, requested.detail) == (0.0, 0.0, {"quote": {"expected": 1, "present": 0}})


def test_the_metrics_come_in_their_order() -> None:
    assert [each.metric for each in measure([QualityCounts("1d", 1, 1, 0, rows=1)])] == list(METRICS)
