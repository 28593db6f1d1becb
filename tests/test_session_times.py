"""When sessions open and close. Expected values are the exchanges' published times."""

from __future__ import annotations

import typing
import warnings
from datetime import UTC, datetime

import numpy as np
import pytest

from fintrack_tasks import calendars, session_times
from fintrack_tasks.domain import AssetClass, Instrument, Interval, TimeRange, from_micros, to_micros
from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.queries import aggregate
from fintrack_tasks.sessions import are_final, expected_bars, session_dates
from fintrack_tasks.validate import ValidationContext


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def opens(symbol: str, interval: Interval, start: str, end: str) -> list[str]:
    found = expected_bars(Instrument.of(symbol), interval, TimeRange(at(start), at(end)))
    return [from_micros(stamp).strftime("%m-%d %H:%M") for stamp in found]


@pytest.mark.parametrize(
    ("friday", "sunday", "close"), [("2024-03-08", "2024-03-10", (22, 21)), ("2024-11-01", "2024-11-03", (21, 22))]
)
def test_currencies_rest_from_friday_to_sunday_five_oclock_in_new_york(
    friday: str, sunday: str, close: tuple[int, int]
) -> None:
    """New York changed its clocks on both of these Sundays."""
    found = opens("EURUSD=X", Interval.H1, friday, f"{sunday}T23:00")
    day = [f"{friday[5:]} {hour:02}:00" for hour in range(close[0])]
    assert found == day + [f"{sunday[5:]} {hour}:00" for hour in range(close[1], 23)]


def test_futures_trade_from_sunday_evening_to_friday_with_an_hours_pause_each_evening() -> None:
    """CME's hours: Sunday 18:00 to Friday 17:00 in New York, closed from 17:00 to 18:00 (UTC - 5 in March's first)."""
    found = opens("CL=F", Interval.H1, "2025-03-02", "2025-03-08")
    assert len(found) == 5 * 23
    assert (found[0], found[-1]) == ("03-02 23:00", "03-07 21:00")
    assert not [text for text in found if text.endswith("22:00")]


def test_futures_trade_on_a_holiday_of_the_stock_exchange_and_rest_at_christmas() -> None:
    """On Martin Luther King day of 2025 Chicago closed early, at noon there."""
    assert opens("GC=F", Interval.D1, "2025-01-17", "2025-01-22") == ["01-17 00:00", "01-20 00:00", "01-21 00:00"]
    assert opens("GC=F", Interval.H1, "2025-01-20T15:00", "2025-01-20T23:30") == [
        "01-20 15:00", "01-20 16:00", "01-20 17:00", "01-20 23:00"
    ]  # fmt: skip
    assert opens("GC=F", Interval.D1, "2024-12-24", "2024-12-27") == ["12-24 00:00", "12-26 00:00"]


def test_the_trading_day_of_a_pair_begins_in_new_york_on_the_evening_before() -> None:
    """Friday's ends at 22:00 UTC in winter, Monday's begins on Sunday at 21:00 UTC: the clocks change in between."""
    times = ["2024-03-07T21:59", "2024-03-07T22:00", "2024-03-08T21:59", "2024-03-09T12:00", "2024-03-10T21:00"]
    found = session_dates(Instrument.of("EURUSD=X"), [to_micros(at(text)) for text in times])
    assert [from_micros(stamp).day for stamp in found] == [7, 8, 8, 11, 11]


@pytest.mark.parametrize(
    ("symbol", "zone"), [("AAPL", "America/New_York"), ("7203.T", "Asia/Tokyo"), ("EURUSD=X", "America/New_York")]
)
def test_the_zone_is_the_one_in_which_sessions_have_their_dates(symbol: str, zone: str) -> None:
    assert str(session_times.instrument_sessions(Instrument.of(symbol)).zone) == zone


@pytest.mark.parametrize("symbol", ["^IRX", "^FVX", "^TNX", "^TYX"])
def test_yields_have_bars_from_0820_to_1500_in_new_york(symbol: str) -> None:
    """As Yahoo's ``currentTradingPeriod`` of ^TNX on 2026-02-02 says: 13:20 to 20:00 UTC; in summer an hour earlier."""
    hours = opens(symbol, Interval.H1, "2026-02-02", "2026-02-03")
    assert hours == [f"02-02 {hour}:20" for hour in (13, 14, 15, 16, 17, 18, 19)]
    assert opens(symbol, Interval.M15, "2026-07-01", "2026-07-02")[0::26] == ["07-01 12:20", "07-01 18:50"]
    assert opens(symbol, Interval.D1, "2026-02-01", "2026-02-05") == ["02-02 00:00", "02-03 00:00", "02-04 00:00"]
    assert opens(symbol, Interval.H1, "2025-11-28", "2025-11-29")[-1] == "11-28 17:20"  # New York closes at 13:00
    assert opens("^GSPC", Interval.H1, "2026-02-02", "2026-02-03")[0] == "02-02 14:30"


def test_an_index_that_was_given_a_calendar_keeps_its_hours() -> None:
    there = Instrument("^TNX", AssetClass.INDEX, calendar="XLON")
    window = TimeRange(at("2026-02-02"), at("2026-02-03"))
    assert from_micros(expected_bars(there, Interval.H1, window)[0]) == at("2026-02-02 08:00")


CALENDARS = sorted({*calendars.MARKETS.values(), *calendars.SUFFIXES.values(), *calendars.INDICES.values()})


@pytest.mark.parametrize("name", CALENDARS)
def test_every_calendar_that_a_symbol_may_lead_to_has_sessions_and_warns_of_nothing(name: str) -> None:
    session_times.calendar_sessions.cache_clear()
    instrument = Instrument("X", AssetClass.STOCK, calendar=name)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        stamps = expected_bars(instrument, Interval.M15, TimeRange(at("2024-01-01"), at("2024-07-01")))
    assert len(stamps) > 120 * 4
    assert stamps == sorted(set(stamps))


def test_a_calendar_that_cannot_be_had_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigurationError, match="NOSUCH"):
        expected_bars(
            Instrument("X", AssetClass.STOCK, calendar="NOSUCH"),
            Interval.D1,
            TimeRange(at("2024-01-01"), at("2024-02-01")),
        )


def test_a_closing_auction_belongs_to_its_session() -> None:
    """Sydney's at 16:10 (UTC + 11), London's at 16:35; half a day's too, at 12:35 on Christmas Eve."""
    assert opens("QAN.AX", Interval.H1, "2026-01-12T04:00", "2026-01-12T12:00") == ["01-12 04:00", "01-12 05:00"]
    assert opens("VOD.L", Interval.M15, "2025-03-05T16:00", "2025-03-06") == [
        "03-05 16:00",
        "03-05 16:15",
        "03-05 16:30",
    ]
    assert opens("VOD.L", Interval.M15, "2024-12-24T12:00", "2024-12-25") == [
        "12-24 12:00",
        "12-24 12:15",
        "12-24 12:30",
    ]
    hour = to_micros(at("2026-01-12T05:00"))
    assert are_final(Instrument.of("QAN.AX"), Interval.H1, [hour], at("2026-01-12T05:31")) == [False]
    assert are_final(Instrument.of("QAN.AX"), Interval.H1, [hour], at("2026-01-12T05:32")) == [True]


def test_frankfurts_floor_trades_from_eight_to_ten_and_as_its_calendar_says_on_short_days() -> None:
    """UTC + 1; on 30 December 2024 until 14:00."""
    assert opens("SAP.F", Interval.H1, "2025-03-03", "2025-03-04") == [f"03-03 {hour:02}:00" for hour in range(7, 21)]
    assert opens("SAP.F", Interval.H1, "2024-12-30", "2024-12-31") == [f"12-30 {hour:02}:00" for hour in range(7, 13)]
    assert opens("SAP.DE", Interval.H1, "2025-03-03", "2025-03-04")[0] == "03-03 08:00"


def test_when_sessions_open_and_close_has_one_owner() -> None:
    """Checks and aggregation take the very arrays that bars are expected by, and lunch breaks share a date."""
    instrument = Instrument.of("0700.HK")
    held = session_times.instrument_sessions(instrument)
    assert held is session_times.calendar_sessions("XHKG")
    assert aggregate.sessions_of(instrument) is held
    assert typing.get_type_hints(ValidationContext)["sessions"] == session_times.TradingSessions | None
    day = held.dates == to_micros(at("2024-01-10"))
    assert [from_micros(stamp).strftime("%H:%M") for stamp in held.starts[day].tolist()] == ["01:30", "05:00"]
    assert [from_micros(stamp).strftime("%H:%M") for stamp in held.ends[day].tolist()] == ["04:00", "08:00"]
    assert held.days.tolist() == sorted(set(held.dates.tolist()))


def test_parts_of_sessions_that_do_not_follow_each_other_are_refused() -> None:
    early, late = np.array([0, 5]), np.array([6, 9])
    with pytest.raises(ValueError, match="follow each other"):
        session_times.TradingSessions(early, late, early, late)
    with pytest.raises(ValueError, match="as many starts"):
        session_times.TradingSessions(early, late, early[:1], late)
