"""Bars against the sessions of their calendar. Dates and times are read from the exchanges' own calendars by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fintrack_tasks.domain import Instrument, Interval, TimeRange
from fintrack_tasks.sessions import expected_bars
from tests.validate.session_bars import days, found, judged, local, volumes


def test_a_weekend_and_a_holiday_are_no_sessions() -> None:
    """2024-07-04 is Independence Day, 2024-07-06 a Saturday; London is open on the first."""
    times = days("2024-07-03", "2024-07-04", "2024-07-05", "2024-07-06")
    assert found("AAPL", Interval.D1, times) == [("outside_session", 1), ("outside_session", 3)]
    assert found("VOD.L", Interval.D1, times) == [("outside_session", 3)]
    assert found("BTC-USD", Interval.D1, times) == []


def test_a_daily_stamp_that_is_not_midnight_utc_is_another_zones() -> None:
    """New York's local midnight is 04:00 UTC in summer and 05:00 in winter."""
    times = local("America/New_York", "2024-07-03", "2024-12-03")
    assert found("AAPL", Interval.D1, times) == [("shifted_zone", 0), ("shifted_zone", 1)]


@pytest.mark.parametrize("off", [-1, 1])
def test_dates_that_all_lie_a_day_off_are_another_zones(off: int) -> None:
    """Four weeks of May 2024 without a holiday, under the dates of a neighbouring zone."""
    week = [datetime(2024, 5, 6, tzinfo=UTC) + timedelta(days=7 * n + d) for n in range(3) for d in range(5)]
    moved = [at + timedelta(days=off) for at in week]
    assert found("AAPL", Interval.D1, week) == []
    assert found("AAPL", Interval.D1, moved) == [("shifted_zone", row) for row in range(15)]


def test_one_wrong_date_among_right_ones_says_nothing_about_their_zone() -> None:
    week = [datetime(2024, 5, 6, tzinfo=UTC) + timedelta(days=7 * n + d) for n in range(3) for d in range(5)]
    assert found("AAPL", Interval.D1, [*week, week[-1] + timedelta(days=1)]) == [("outside_session", 15)]


@pytest.mark.parametrize("day", ["2024-03-08", "2024-03-11", "2024-11-01", "2024-11-04"])
def test_bars_of_the_days_around_a_change_of_summer_time_lie_inside(day: str) -> None:
    """New York changed on 2024-03-10 and 2024-11-03: 9:30 is 14:30 UTC before and 13:30 after, and back again."""
    zone = "America/New_York"
    times = local(zone, *(f"{day}T{hour:02}:30" for hour in range(9, 16)))
    assert found("AAPL", Interval.H1, times) == []
    assert found("AAPL", Interval.H1, local(zone, f"{day}T08:30", f"{day}T16:00")) == [
        ("outside_session", 0),
        ("outside_session", 1),
    ]


def test_a_day_whose_bars_miss_the_change_of_summer_time_is_in_another_zone() -> None:
    """Monday's bars under the offset of the Friday before: an hour late. Friday's own are right."""
    friday = [datetime(2024, 3, 8, 14, 30, tzinfo=UTC) + timedelta(minutes=15 * n) for n in range(26)]
    monday = [at + timedelta(days=3) for at in friday]
    assert found("AAPL", Interval.M15, [*friday, *monday]) == [("shifted_zone", row) for row in range(26, 52)]


def test_a_window_that_begins_in_the_middle_of_a_day_does_not_look_shifted() -> None:
    times = local("America/New_York", *(f"2024-05-06T{hour}" for hour in ("14:30", "15:30", "16:30")))
    assert found("AAPL", Interval.H1, times) == [("outside_session", 2)]


def test_the_afternoon_of_a_half_day_is_no_session() -> None:
    """2024-11-29, the day after Thanksgiving, closes at 13:00."""
    times = local("America/New_York", *(f"2024-11-29T{hour:02}:30" for hour in range(9, 16)))
    assert found("AAPL", Interval.H1, times) == [("outside_session", row) for row in (4, 5, 6)]


def test_a_bar_that_opens_before_the_session_and_reaches_into_it_belongs_to_it() -> None:
    assert found("AAPL", Interval.H1, local("America/New_York", "2024-05-06T09:00")) == []


def test_a_lunch_break_is_no_session() -> None:
    """Tokyo rests from 11:30 to 12:30 (Hong Kong from 12:00 to 13:00)."""
    times = local("Asia/Tokyo", "2024-05-08T11:15", "2024-05-08T11:45", "2024-05-08T12:30")
    assert found("7203.T", Interval.M15, times) == [("outside_session", 1)]


def test_sydneys_session_has_its_own_local_date() -> None:
    """Monday the 6th of May opens on Monday 00:00 UTC in winter, Monday the 15th of January on Sunday 23:00 UTC."""
    assert found("BHP.AX", Interval.D1, days("2024-05-06", "2024-01-15")[::-1]) == []
    assert found("BHP.AX", Interval.H1, days("2024-01-14T23:00", "2024-05-06T00:00")) == []
    assert found("BHP.AX", Interval.D1, days("2024-01-14")) == [("outside_session", 0)]


def test_currencies_trade_from_sunday_evening_to_friday_evening() -> None:
    times = days("2024-05-03T21:00", "2024-05-04T12:00", "2024-05-05T21:00", "2024-05-06T00:00")
    assert found("EURUSD=X", Interval.H1, times) == [("outside_session", 1)]


def test_feeds_of_currencies_may_begin_and_end_by_the_clocks_of_london() -> None:
    """Between the two cities' changes of the clocks, 22:00 in London is 18:00 in New York, 22:00 UTC."""
    times = days("2024-03-15T22:00", "2024-03-15T23:00", "2024-03-17T17:00", "2024-03-17T19:00", "2024-03-17T22:00")
    assert found("EURUSD=X", Interval.H1, times) == [("outside_session", 1), ("outside_session", 2)]


def test_beyond_what_the_calendar_knows_nothing_is_outside() -> None:
    assert found("AAPL", Interval.D1, days("1950-01-07")) == []
    assert found("AAPL", Interval.H1, days("1950-01-07T12:00")) == []


@pytest.mark.parametrize("symbol", ["AAPL", "VOD.L", "SAP.DE", "7203.T", "0700.HK", "BHP.AX", "BTC-USD", "EURUSD=X"])
@pytest.mark.parametrize("interval", list(Interval))
def test_every_expected_bar_lies_in_a_session(symbol: str, interval: Interval) -> None:
    window = TimeRange(datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 4, 10, tzinfo=UTC))
    stamps = expected_bars(Instrument.of(symbol), interval, window)[:1000]
    times = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=stamp) for stamp in stamps]
    assert times
    assert found(symbol, interval, times) == []


def test_a_close_that_is_shown_once_more_is_no_late_print() -> None:
    times = local("Asia/Tokyo", "2024-03-05T14:45", "2024-03-05T15:00")
    assert judged("7203.T", Interval.M15, volumes(times, 5, 0), flat=True) == [("outside_session", "reject", 1)]
    assert judged("7203.T", Interval.M15, volumes(times, 5, 6), flat=True) == []


def test_other_indices_have_no_values_before_their_session() -> None:
    times = local("America/New_York", "2024-03-05T08:20", "2024-03-05T09:30")
    assert judged("^GSPC", Interval.M15, volumes(times, 5, 6)) == [("outside_session", "reject", 0)]


@pytest.mark.parametrize("symbol", ["QNBK.QA", "NBK.KW", "COMI.CA", "^NOSUCH"])
def test_where_no_calendar_is_known_no_bar_is_outside(symbol: str) -> None:
    """The Gulf trades from Sunday to Thursday (yfinance#1936)."""
    times = [at for n in range(28) if (at := datetime(2024, 3, 3, tzinfo=UTC) + timedelta(n)).weekday() not in (4, 5)]
    assert len(times) == 20
    assert judged(symbol, Interval.D1, [(at, 1e6 + at.day) for at in times]) == []
    assert judged(symbol, Interval.H1, [(at + timedelta(hours=6), 1e6 + at.day) for at in times]) == []


@pytest.mark.parametrize(
    ("symbol", "zone", "times"),
    [
        ("QAN.AX", "Australia/Sydney", [f"2024-03-12T{hour}:00" for hour in range(10, 17)]),
        ("VOD.L", "Europe/London", ["2024-03-05T16:00", "2024-03-05T16:30"]),
        ("SAP.F", "Europe/Berlin", [f"2024-03-04T{hour:02}:00" for hour in range(8, 22)]),
        ("0700.HK", "Asia/Hong_Kong", ["2024-03-05T15:00", "2024-03-05T16:00"]),
        ("2222.SR", "Asia/Riyadh", ["2024-03-05T14:00", "2024-03-05T15:00"]),
        ("7203.T", "Asia/Tokyo", ["2024-03-05T14:45", "2024-03-05T15:00"]),
        ("VOLV-B.ST", "Europe/Stockholm", ["2024-03-05T17:00", "2024-03-05T17:30"]),
        ("RELIANCE.NS", "Asia/Kolkata", ["2024-03-05T15:15", "2024-03-05T15:45"]),
        ("600519.SS", "Asia/Shanghai", ["2024-03-05T14:45", "2024-03-05T15:00"]),
        ("SBER.ME", "Europe/Moscow", ["2021-03-03T18:30", "2021-03-03T23:30"]),
        ("^TNX", "America/Chicago", ["2024-03-05T07:20", "2024-03-05T07:35"]),
        ("^VIX", "America/Chicago", ["2024-03-05T02:15", "2024-03-05T08:00"]),
        ("CL=F", "America/New_York", ["2024-03-03T18:00", "2024-03-04T03:00", "2024-03-08T16:00"]),
    ],
)
def test_closing_auctions_and_the_hours_of_a_venue_are_admitted(symbol: str, zone: str, times: list[str]) -> None:
    interval = Interval.H1 if times[0].endswith(":00") and symbol not in ("VOD.L", "VOLV-B.ST") else Interval.M15
    rows = [(at, 1e5 + place) for place, at in enumerate(local(zone, *times))]
    assert [one for one in judged(symbol, interval, rows) if one[1] == "reject"] == []
