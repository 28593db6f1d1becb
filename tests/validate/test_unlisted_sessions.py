"""Bars that prove a session which the calendar lacks. Special sessions are those of the exchanges' circulars."""

from __future__ import annotations

from datetime import datetime

import pytest

from fintrack_tasks.domain import Interval
from tests.validate.session_bars import SESSION_RULES, days, judged, local, volumes


@pytest.mark.parametrize("newest", [False, True])
def test_a_traded_day_that_the_calendar_closes_is_kept_and_flagged(newest: bool) -> None:
    """NSE traded on Saturday, 2 March 2024, to try its second site; exchange_calendars has no such session."""
    times = days("2024-02-29", "2024-03-01", "2024-03-02", "2024-03-04", "2024-03-05")[: 3 if newest else 5]
    rows = volumes(times, *(5e6 + place for place in range(len(times))))
    assert judged("RELIANCE.NS", Interval.D1, rows) == [("unlisted_session", "flag", 2)]
    assert judged("RELIANCE.NS", Interval.D1, rows, flat=True) == [("outside_session", "reject", 2)]


@pytest.mark.parametrize("symbol", ["RELIANCE.NS", "^NSEI"])
@pytest.mark.parametrize(
    ("times", "before", "row"),
    [
        (("2024-03-02", "2024-03-04", "2024-03-05"), None, 0),  # it begins with the Saturday, and nothing is known
        (("2024-03-02", "2024-03-04", "2024-03-05"), "2024-03-01", 0),
        (("2024-03-02", "2024-03-04", "2024-03-05"), "2023-11-30", 0),  # what lies between was not asked for yet
        (("2024-03-02",), None, 0),
        (("2024-03-02",), "2024-03-01", 0),
        (("2024-03-01", "2024-03-02"), None, 1),
    ],
)
@pytest.mark.parametrize(
    ("interval", "clocks"),
    [
        (Interval.D1, (None,)),
        (Interval.H1, ("09:15", "11:15")),
        (Interval.M15, ("09:15", "09:30", "11:30", "11:45")),
    ],
)
def test_a_traded_saturday_is_kept_wherever_a_batch_begins_and_ends(
    symbol: str,
    times: tuple[str, ...],
    before: str | None,
    row: int,
    interval: Interval,
    clocks: tuple[str | None, ...],
) -> None:
    """NSE traded on Saturday, 2 March 2024, in two parts, from 09:15 and from 11:30."""
    bars = [bar for day in times for bar in stamped(day, clocks)]
    last = stamped(before, clocks)[-1] if before else None
    flagged = range(row * len(clocks), (row + 1) * len(clocks))
    rows = volumes(bars, *(5e6 + place for place in range(len(bars))))
    found = [one for one in judged(symbol, interval, rows, before=last) if one[0] in SESSION_RULES]
    assert found == [("unlisted_session", "flag", each) for each in flagged]


def stamped(day: str, clocks: tuple[str | None, ...]) -> list[datetime]:
    """The day itself, or its clocks in Bombay."""
    return [at for clock in clocks for at in (local("Asia/Kolkata", f"{day}T{clock}") if clock else days(day))]


@pytest.mark.parametrize(
    ("times", "before"),
    [
        (("2024-07-06", "2024-07-08"), "2024-07-03"),  # Friday's bar under Saturday's date: Friday is missing
        (("2024-07-06",), "2024-07-03"),
        (("2024-07-06", "2024-07-09"), None),  # Monday's
    ],
)
def test_a_batch_that_begins_under_a_wrong_date_proves_no_session(times: tuple[str, ...], before: str | None) -> None:
    rows = volumes(days(*times), *range(7, 7 + len(times)))
    found = judged("AAPL", Interval.D1, rows, before=days(before)[0] if before else None)
    assert [one for one in found if one[0] in SESSION_RULES] == [("outside_session", "reject", 0)]


def test_a_quarter_of_an_hour_of_one_price_belongs_to_a_traded_evening() -> None:
    """Of three bars of Muhurat trading the one in the middle has one price and the volume of the one before."""
    zone = "Asia/Kolkata"
    times = local(zone, "2024-10-31T15:15", "2024-11-01T18:00", "2024-11-01T18:15", "2024-11-01T18:30")
    found = judged("RELIANCE.NS", Interval.M15, volumes(times, 4, 5, 5, 6), flat_rows=(2,))
    assert found == [("unlisted_session", "flag", row) for row in (1, 2, 3)]


def test_the_evening_of_muhurat_trading_is_kept_and_flagged() -> None:
    """Friday, 1 November 2024: closed for Diwali but for the hour from 18:00 (UTC + 5:30)."""
    zone = "Asia/Kolkata"
    day = [f"2024-10-31T{hour:02}:15" for hour in range(9, 16)]
    times = local(zone, *day, "2024-11-01T18:00", "2024-11-04T09:15")
    rows = volumes(times, *(1000 + place for place in range(len(times))))
    assert judged("RELIANCE.NS", Interval.H1, rows) == [("unlisted_session", "flag", 7)]


@pytest.mark.parametrize(
    ("times", "traded"),
    [
        (("2024-07-05", "2024-07-06", "2024-07-09"), (7, 8, 9)),  # Monday's bar under Saturday's date
        (("2024-07-04", "2024-07-06", "2024-07-08"), (7, 8, 9)),  # Friday's, beside a holiday
        (("2024-07-05", "2024-07-06", "2024-07-08"), (7, 7, 9)),  # Friday's volume again
        (("2024-07-05", "2024-07-06", "2024-07-08"), (7, 0, 9)),  # nothing was traded
    ],
)
def test_a_bar_under_a_wrong_date_proves_no_session(times: tuple[str, ...], traded: tuple[float, ...]) -> None:
    found = judged("AAPL", Interval.D1, volumes(days(*times), *traded))
    assert ("outside_session", "reject", 1) in found
    assert "unlisted_session" not in {rule for rule, _, _ in found}


def test_a_weekend_of_currencies_is_no_session_whatever_was_traded() -> None:
    rows = volumes(days("2024-03-08", "2024-03-09", "2024-03-11"), 1, 2, 3)
    assert judged("EURUSD=X", Interval.D1, rows) == [("outside_session", "reject", 1)]


def test_futures_traded_on_a_good_friday_are_kept_and_those_of_a_saturday_are_not() -> None:
    """Chicago opened its index futures for the payrolls of 7 April 2023; New York was closed."""
    days_ = days("2023-04-06", "2023-04-07", "2023-04-08", "2023-04-10")
    assert judged("ES=F", Interval.D1, volumes(days_, 5, 6, 7, 8)) == [
        ("unlisted_session", "flag", 1),
        ("outside_session", "reject", 2),
    ]


def test_bars_before_or_after_a_traded_session_stay_outside() -> None:
    times = local("America/New_York", "2024-03-08T15:30", "2024-03-08T18:00")
    assert judged("AAPL", Interval.H1, volumes(times, 5, 6)) == [("outside_session", "reject", 1)]
