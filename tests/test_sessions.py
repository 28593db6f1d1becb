"""Trading sessions. Expected values are exchanges' published hours and the dates of real price histories."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from fintrack_tasks import session_times
from fintrack_tasks.domain import AssetClass, Instrument, Interval, TimeRange, from_micros, to_micros
from fintrack_tasks.sessions import are_final, calendar_name, expected_bars, requested_stamps, session_dates

BUNDLED = Path(session_times.__file__).parent / "sandbox" / "data" / "daily.csv.gz"
AAPL = Instrument.of("AAPL")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def is_final(instrument: Instrument, interval: Interval, stamp: int, now: datetime) -> bool:
    [final] = are_final(instrument, interval, [stamp], now)
    return final


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


def test_a_calendar_given_to_a_pair_is_its_own() -> None:
    pair = Instrument("EURUSD=X", AssetClass.FOREX, calendar="24/5")
    assert len(expected_bars(pair, Interval.H1, TimeRange(at("2024-03-08"), at("2024-03-11")))) == 24
    stock = Instrument("X", AssetClass.STOCK, calendar="forex")
    assert len(expected_bars(stock, Interval.H1, TimeRange(at("2024-03-08"), at("2024-03-11")))) == 22 + 3


def test_a_daily_bar_of_a_pair_is_final_when_its_utc_date_is_over_as_some_providers_days_are() -> None:
    stamp, pair = to_micros(at("2024-03-07")), Instrument.of("EURUSD=X")
    assert not is_final(pair, Interval.D1, stamp, at("2024-03-07T23:59"))
    assert is_final(pair, Interval.D1, stamp, at("2024-03-08T00:01"))
    assert is_final(pair, Interval.H1, to_micros(at("2024-03-08T21:00")), at("2024-03-08T22:01"))


def test_a_window_is_half_open() -> None:
    assert opens("AAPL", Interval.H1, "2024-01-10T15:30", "2024-01-10T17:30") == ["01-10 15:30", "01-10 16:30"]
    assert opens("AAPL", Interval.H1, "2024-01-10T15:31", "2024-01-10T16:30") == []
    assert opens("AAPL", Interval.D1, "2024-01-10T00:00:01", "2024-01-11") == []


def test_nothing_is_expected_on_a_holiday_or_beyond_the_calendar() -> None:
    assert opens("AAPL", Interval.M15, "2024-12-25", "2024-12-26") == []
    assert opens("AAPL", Interval.D1, "1950-01-01", "1951-01-01") == []


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
    found = requested_stamps(Instrument.of(symbol), interval, told)
    assert [from_micros(stamp).strftime("%H:%M") for stamp in found] == stands_for
    assert requested_stamps(Instrument.of(symbol), interval, []) == []


@pytest.mark.parametrize("symbol", ["QNBK.QA", "COMI.CA", "NBK.KW", "X.ZZZ", "^NOSUCH", "DX-Y.NYB"])
def test_of_a_symbol_whose_exchange_is_not_known_nothing_is_expected(symbol: str) -> None:
    instrument, window = Instrument.of(symbol), TimeRange(at("2025-03-01"), at("2025-03-21"))
    assert calendar_name(instrument) is None
    for interval in Interval:
        assert expected_bars(instrument, interval, window) == []
    stamp = to_micros(at("2025-03-02"))
    assert are_final(instrument, Interval.D1, [stamp], at("2025-03-03T12:19")) == [False]
    assert are_final(instrument, Interval.D1, [stamp], at("2025-03-03T12:20")) == [True]
    assert are_final(instrument, Interval.H1, [stamp], at("2025-03-02T01:20")) == [True]
    assert session_dates(instrument, [stamp + 7]) == [stamp]
    assert str(session_times.instrument_sessions(instrument).zone) == "UTC"


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
    assert are_final(AAPL, Interval.D1, [to_micros(at("1929-10-29"))], at("2024-01-01")) == [True]
    assert are_final(AAPL, Interval.M15, [to_micros(at("1929-10-29T15:00"))], at("2024-01-01")) == [True]


def test_many_stamps_get_the_verdicts_that_each_gets_alone() -> None:
    now = at("2024-01-10T18:00")
    for interval in Interval:
        stamps = expected_bars(AAPL, interval, TimeRange(at("2024-01-08"), at("2024-01-12")))
        verdicts = are_final(AAPL, interval, stamps, now)
        assert verdicts == [is_final(AAPL, interval, stamp, now) for stamp in stamps]
        assert any(verdicts)
        assert not all(verdicts)
    assert are_final(AAPL, Interval.D1, [], now) == []
