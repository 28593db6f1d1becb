"""Trading sessions. Expected values are exchanges' published hours and the dates of real price histories."""

from __future__ import annotations

import csv
import gzip
import typing
import warnings
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from fintrack_tasks import calendars, session_times
from fintrack_tasks.domain import AssetClass, Instrument, Interval, TimeRange, from_micros, to_micros
from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.queries import aggregate
from fintrack_tasks.sessions import asked_as, calendar_name, expected_bars, finals, is_final, session_dates
from fintrack_tasks.validate import ValidationContext
from tests.recorded.record_sessions import counted

BUNDLED = Path(session_times.__file__).parent / "sandbox" / "data" / "daily.csv.gz"
AAPL = Instrument.of("AAPL")
DAY = timedelta(days=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def opens(symbol: str, interval: Interval, start: str, end: str) -> list[str]:
    found = expected_bars(Instrument.of(symbol), interval, TimeRange(at(start), at(end)))
    return [from_micros(stamp).strftime("%m-%d %H:%M") for stamp in found]


def real_dates(symbol: str) -> list[date]:
    if not BUNDLED.exists():
        pytest.skip(f"the bundled prices are not there: {BUNDLED.name}")
    with gzip.open(BUNDLED, "rt", encoding="utf-8") as file:
        return [date.fromisoformat(row["date"]) for row in csv.DictReader(file) if row["symbol"] == symbol]


@pytest.mark.parametrize("symbol", ["AAPL", "IBM", "MSFT", "^GSPC", "^IXIC"])
def test_the_sessions_of_new_york_are_the_dates_of_real_prices_none_missing_and_none_more(symbol: str) -> None:
    dates = real_dates(symbol)
    window = TimeRange(at(dates[0].isoformat()), at(dates[-1].isoformat()) + timedelta(days=1))
    stamps = expected_bars(Instrument.of(symbol), Interval.D1, window)
    assert [from_micros(stamp) for stamp in stamps] == [at(day.isoformat()) for day in dates]


def test_hourly_bars_open_at_half_past_and_the_last_one_is_short() -> None:
    assert opens("AAPL", Interval.H1, "2024-01-10", "2024-01-11") == [
        f"01-10 {hour}:30" for hour in (14, 15, 16, 17, 18, 19, 20)
    ]


def test_hourly_bars_follow_the_change_to_summer_time() -> None:
    """New York changed on Sunday, 10 March 2024: 09:30 was 14:30 UTC before it and 13:30 UTC after."""
    assert opens("AAPL", Interval.H1, "2024-03-08", "2024-03-09")[0] == "03-08 14:30"
    assert opens("AAPL", Interval.H1, "2024-03-11", "2024-03-12")[0] == "03-11 13:30"


def test_an_early_close_ends_the_bars_at_one_oclock() -> None:
    """The day after Thanksgiving 2024 closed at 13:00 New York, 18:00 UTC."""
    assert opens("AAPL", Interval.H1, "2024-11-29", "2024-11-30") == [f"11-29 {hour}:30" for hour in (14, 15, 16, 17)]
    quarters = opens("AAPL", Interval.M15, "2024-11-29", "2024-11-30")
    assert (len(quarters), quarters[-1]) == (14, "11-29 17:45")


def test_a_lunch_break_divides_a_session() -> None:
    """Hong Kong trades 09:30 to 12:00 and 13:00 to 16:00, UTC + 8."""
    assert opens("0700.HK", Interval.H1, "2024-01-10", "2024-01-11") == [
        f"01-10 {time}" for time in ("01:30", "02:30", "03:30", "05:00", "06:00", "07:00")
    ]


def test_a_session_that_opens_on_the_previous_utc_date_is_named_by_its_local_date() -> None:
    """Sydney opens 10:00 local, which in summer (UTC + 11) is 23:00 UTC of the day before."""
    assert opens("BHP.AX", Interval.D1, "2024-01-10", "2024-01-11") == ["01-10 00:00"]
    assert opens("BHP.AX", Interval.H1, "2024-01-09T12:00", "2024-01-10T12:00")[0] == "01-09 23:00"


def test_crypto_never_closes_and_currencies_rest_at_the_weekend() -> None:
    assert len(opens("BTC-USD", Interval.H1, "2024-03-09", "2024-03-11")) == 48
    assert opens("EURUSD=X", Interval.D1, "2024-03-08", "2024-03-12") == ["03-08 00:00", "03-11 00:00"]


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


def test_a_calendar_given_to_a_pair_is_its_own() -> None:
    pair = Instrument("EURUSD=X", AssetClass.FOREX, calendar="24/5")
    assert len(expected_bars(pair, Interval.H1, TimeRange(at("2024-03-08"), at("2024-03-11")))) == 24
    stock = Instrument("X", AssetClass.STOCK, calendar="forex")
    assert len(expected_bars(stock, Interval.H1, TimeRange(at("2024-03-08"), at("2024-03-11")))) == 22 + 3


def test_the_trading_day_of_a_pair_begins_in_new_york_on_the_evening_before() -> None:
    """Friday's ends at 22:00 UTC in winter, Monday's begins on Sunday at 21:00 UTC: the clocks change in between."""
    times = ["2024-03-07T21:59", "2024-03-07T22:00", "2024-03-08T21:59", "2024-03-09T12:00", "2024-03-10T21:00"]
    found = session_dates(Instrument.of("EURUSD=X"), [to_micros(at(text)) for text in times])
    assert [from_micros(stamp).day for stamp in found] == [7, 8, 8, 11, 11]


def test_a_daily_bar_of_a_pair_is_final_when_its_utc_date_is_over_as_some_providers_days_are() -> None:
    stamp, pair = to_micros(at("2024-03-07")), Instrument.of("EURUSD=X")
    assert not is_final(pair, Interval.D1, stamp, at("2024-03-07T23:59"))
    assert is_final(pair, Interval.D1, stamp, at("2024-03-08T00:01"))
    assert is_final(pair, Interval.H1, to_micros(at("2024-03-08T21:00")), at("2024-03-08T22:01"))


@pytest.mark.parametrize(
    ("symbol", "zone"), [("AAPL", "America/New_York"), ("7203.T", "Asia/Tokyo"), ("EURUSD=X", "America/New_York")]
)
def test_the_zone_is_the_one_in_which_sessions_have_their_dates(symbol: str, zone: str) -> None:
    assert str(session_times.instrument_sessions(Instrument.of(symbol)).zone) == zone


def test_a_window_is_half_open() -> None:
    assert opens("AAPL", Interval.H1, "2024-01-10T15:30", "2024-01-10T17:30") == ["01-10 15:30", "01-10 16:30"]
    assert opens("AAPL", Interval.H1, "2024-01-10T15:31", "2024-01-10T16:30") == []
    assert opens("AAPL", Interval.D1, "2024-01-10T00:00:01", "2024-01-11") == []


def test_nothing_is_expected_on_a_holiday_or_beyond_the_calendar() -> None:
    assert opens("AAPL", Interval.M15, "2024-12-25", "2024-12-26") == []
    assert opens("AAPL", Interval.D1, "1950-01-01", "1951-01-01") == []


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


@pytest.mark.parametrize(
    ("symbol", "interval", "stored", "stands_for"),
    [
        ("^VIX", Interval.H1, ["08:15", "13:15", "14:15", "20:15"], ["08:15", "13:15", "14:30", "20:30"]),
        ("AAPL", Interval.M15, ["14:20", "14:35", "14:50"], ["14:20", "14:30", "14:45"]),
        ("7203.T", Interval.H1, ["00:00", "02:00", "03:00", "05:00"], ["00:00", "02:00", "03:30", "05:30"]),
        ("AAPL", Interval.H1, ["14:30", "15:30"], ["14:30", "15:30"]),
        ("AAPL", Interval.D1, ["05:00"], ["05:00"]),
    ],
)
def test_a_bar_that_begins_off_the_grid_stands_for_the_expected_one_of_most_of_its_time(
    symbol: str, interval: Interval, stored: list[str], stands_for: list[str]
) -> None:
    """Volatility is counted from 03:15 in New York, an afternoon in Tokyo by the full hour."""
    told = [to_micros(at(f"2026-02-02 {clock}")) for clock in stored]
    found = asked_as(Instrument.of(symbol), interval, told)
    assert [from_micros(stamp).strftime("%H:%M") for stamp in found] == stands_for
    assert asked_as(Instrument.of(symbol), interval, []) == []


@pytest.mark.parametrize(
    ("instrument", "name"),
    [
        (Instrument.of("AAPL"), "XNYS"),
        (Instrument.of("BRK.B"), "XNYS"),
        (Instrument.of("BARC.L"), "XLON"),
        (Instrument.of("SAP.DE"), "XETR"),
        (Instrument.of("BHP.AX"), "XASX"),
        (Instrument.of("SHOP.TO"), "XTSE"),
        (Instrument.of("AIR.PA"), "XPAR"),
        (Instrument.of("0700.HK"), "XHKG"),
        (Instrument.of("7203.T"), "XTKS"),
        (Instrument.of("^GSPC"), "XNYS"),
        (Instrument.of("^FTSE"), "XLON"),
        (Instrument.of("^NSEBANK"), "XBOM"),
        (Instrument.of("^TNX"), "XNYS"),
        (Instrument.of("OPAP.AT"), "ASEX"),
        (Instrument.of("TEVA.TA"), "XTAE"),
        (Instrument("BRK.B", AssetClass.STOCK), "XNYS"),
        (Instrument.of("BTC-USD"), "24/7"),
        (Instrument.of("EURUSD=X"), "forex"),
        (Instrument.of("GC=F"), "futures"),
        (Instrument("EURUSD=X", AssetClass.FOREX, calendar="24/5"), "24/5"),
        (Instrument("AAPL", AssetClass.STOCK, calendar="XLON"), "XLON"),
    ],
)
def test_the_calendar_is_the_instruments_own_then_its_suffix_then_its_asset_class(
    instrument: Instrument, name: str
) -> None:
    assert calendar_name(instrument) == name


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


def recorded() -> dict[str, list[tuple[int, int, str]]]:
    """What ``tests/recorded/record_sessions.py`` found under pandas 2.3.3."""
    found: dict[str, list[tuple[int, int, str]]] = {}
    with (Path(__file__).parent / "recorded" / "sessions_pandas_2.3.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            year = int(row["year"]), int(row["sessions"]), row["sha256"]
            found.setdefault(row["calendar"], []).append(year)
    return found


OURS = {calendars.FOREX, calendars.FUTURES}
MENDED = {"ASEX", "XBOM", "XBSE", "XKRX", "XMOS", "XTAE"}
"""Those whose sessions pandas 3.1 computes wrongly, or not at all, as exchange_calendars 4.13 is."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in {*MENDED, "XNYS", "XLON", "CMES"} else pytest.mark.soak)
        for name in sorted({*CALENDARS, "CMES"} - OURS)
    ],
)
def test_the_sessions_from_1990_to_2026_are_those_under_pandas_2_3(name: str) -> None:
    """Dates, opens, closes and breaks: exchange_calendars#394, #471, #502."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert list(counted(session_times._calendar(name).schedule)) == recorded()[name]


@pytest.mark.parametrize(
    ("symbol", "day"),
    [
        ("RELIANCE.NS", "2024-01-20"),
        ("RELIANCE.BO", "2025-02-01"),
        ("SBER.ME", "2018-04-28"),
        ("005930.KS", "1998-11-28"),
    ],
)
def test_a_special_saturday_is_a_session(symbol: str, day: str) -> None:
    """By the exchanges' own circulars; Seoul traded on Saturdays until December 1998."""
    start = at(day)
    assert expected_bars(Instrument.of(symbol), Interval.D1, TimeRange(start, start + DAY)) == [to_micros(start)]


def test_a_calendar_that_cannot_be_had_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigurationError, match="NOSUCH"):
        expected_bars(
            Instrument("X", AssetClass.STOCK, calendar="NOSUCH"),
            Interval.D1,
            TimeRange(at("2024-01-01"), at("2024-02-01")),
        )


@pytest.mark.parametrize("symbol", ["QNBK.QA", "COMI.CA", "NBK.KW", "X.ZZZ", "^NOSUCH", "DX-Y.NYB"])
def test_of_a_symbol_whose_exchange_is_not_known_nothing_is_expected(symbol: str) -> None:
    instrument, window = Instrument.of(symbol), TimeRange(at("2025-03-01"), at("2025-03-21"))
    assert calendar_name(instrument) is None
    for interval in Interval:
        assert expected_bars(instrument, interval, window) == []
    stamp = to_micros(at("2025-03-02"))
    assert finals(instrument, Interval.D1, [stamp], at("2025-03-03T12:19")) == [False]
    assert finals(instrument, Interval.D1, [stamp], at("2025-03-03T12:20")) == [True]
    assert finals(instrument, Interval.H1, [stamp], at("2025-03-02T01:20")) == [True]
    assert session_dates(instrument, [stamp + 7]) == [stamp]
    assert str(session_times.instrument_sessions(instrument).zone) == "UTC"


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
    assert not is_final(Instrument.of("QAN.AX"), Interval.H1, hour, at("2026-01-12T05:31"))
    assert is_final(Instrument.of("QAN.AX"), Interval.H1, hour, at("2026-01-12T05:32"))


def test_frankfurts_floor_trades_from_eight_to_ten_and_as_its_calendar_says_on_short_days() -> None:
    """UTC + 1; on 30 December 2024 until 14:00."""
    assert opens("SAP.F", Interval.H1, "2025-03-03", "2025-03-04") == [f"03-03 {hour:02}:00" for hour in range(7, 21)]
    assert opens("SAP.F", Interval.H1, "2024-12-30", "2024-12-31") == [f"12-30 {hour:02}:00" for hour in range(7, 13)]
    assert opens("SAP.DE", Interval.H1, "2025-03-03", "2025-03-04")[0] == "03-03 08:00"


@pytest.mark.parametrize(
    ("name", "known"),
    [("XNYS", True), ("NYSE", True), ("24/7", True), ("forex", True), ("futures", True), ("NOPE", False)],
)
def test_the_name_of_a_calendar_is_told_from_what_is_none(name: str, known: bool) -> None:
    assert calendars.is_calendar(name) is known


def test_a_daily_bar_is_final_some_minutes_after_the_close() -> None:
    stamp = to_micros(at("2024-01-10"))
    assert not is_final(AAPL, Interval.D1, stamp, at("2024-01-10T21:00"))
    assert is_final(AAPL, Interval.D1, stamp, at("2024-01-10T21:20"))


def test_a_daily_bar_of_an_early_close_is_final_earlier() -> None:
    assert is_final(AAPL, Interval.D1, to_micros(at("2024-11-29")), at("2024-11-29T18:20"))


def test_the_short_last_bar_of_a_session_is_final_after_the_close() -> None:
    stamp = to_micros(at("2024-01-10T20:30"))
    assert not is_final(AAPL, Interval.H1, stamp, at("2024-01-10T21:10"))
    assert is_final(AAPL, Interval.H1, stamp, at("2024-01-10T21:20"))


def test_a_live_bar_stamped_with_its_last_trade_ends_with_the_bar_that_it_lies_in() -> None:
    stamp = to_micros(at("2024-01-10T15:47"))
    assert not is_final(AAPL, Interval.H1, stamp, at("2024-01-10T16:49"))
    assert is_final(AAPL, Interval.H1, stamp, at("2024-01-10T16:50"))


def test_a_stamp_outside_every_session_ends_after_its_interval_or_when_its_date_is_over() -> None:
    christmas = to_micros(at("2024-12-25"))
    assert is_final(AAPL, Interval.H1, christmas, at("2024-12-25T01:20"))
    assert not is_final(AAPL, Interval.D1, christmas, at("2024-12-26T12:19"))
    assert is_final(AAPL, Interval.D1, christmas, at("2024-12-26T12:20"))


def test_a_stamp_before_the_first_known_session_is_final() -> None:
    assert finals(AAPL, Interval.D1, [to_micros(at("1929-10-29"))], at("2024-01-01")) == [True]
    assert finals(AAPL, Interval.M15, [to_micros(at("1929-10-29T15:00"))], at("2024-01-01")) == [True]


def test_many_stamps_get_the_verdicts_that_each_gets_alone() -> None:
    now = at("2024-01-10T18:00")
    for interval in Interval:
        stamps = expected_bars(AAPL, interval, TimeRange(at("2024-01-08"), at("2024-01-12")))
        verdicts = finals(AAPL, interval, stamps, now)
        assert verdicts == [is_final(AAPL, interval, stamp, now) for stamp in stamps]
        assert any(verdicts)
        assert not all(verdicts)
    assert finals(AAPL, Interval.D1, [], now) == []


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
