"""What the market answers: real days, one story in every length of bar, a live bar that grows into the final one."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from fintrack_tasks.sandbox.market import Bar, Market, UnknownError

DAY = timedelta(days=1)


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
        ("XYZ", "America/New_York", time(9, 30)),
        ("EURUSD=X", "Europe/London", time()),
        ("USDMXN=X", "Europe/London", time()),
        ("BTC-USD", "UTC", time()),
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


def test_a_short_session_has_fewer_bars() -> None:
    assert len(bars("2026-11-24T16:20", "AAPL", 900, "2012-11-23", "2012-11-24")) == 14  # the day after Thanksgiving
    assert len(bars("2026-11-24T16:20", "AAPL", 900, "2012-11-26", "2012-11-27")) == 26


@pytest.mark.parametrize("seconds", [60, 900, 3_600, 86_400])
@pytest.mark.parametrize("symbol", ["XYZ", "BTC-USD"])
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
    [closed] = bars("2026-11-24T21:00", "XYZ", 86_400, *span)
    assert not closed.live
    assert bars("2026-11-24T14:29", "XYZ", 86_400, *span) == []
    assert bars("2026-11-22T12:00", "XYZ", 86_400, "2026-11-22", "2026-11-23") == []  # a Sunday


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
    listing = there.listing("XYZ")
    [minute] = bars("2026-11-26T00:00", "XYZ", 60, "2026-11-24T18:00", "2026-11-24T18:01")
    assert minute.low * 0.998 <= there.tick(listing).price <= minute.high * 1.002
    [yesterday] = bars("2026-11-26T00:00", "XYZ", 86_400, "2026-11-23T00:00", "2026-11-24T00:00")
    assert there.tick(listing).previous_close == yesterday.close


@pytest.mark.parametrize("symbol", ["UNKNOWN", "UNKNOWN7-USD", "", "A B", "A" * 40, "EURUSDX=X", "=X", "\x00"])
def test_what_is_no_symbol_is_unknown(symbol: str) -> None:
    with pytest.raises(UnknownError):
        market("2026-11-24T16:20").listing(symbol)


@pytest.mark.parametrize(
    ("symbol", "statement"),
    [
        ("AAPL", {"synthetic": False, "origin": "bundled real prices"}),
        (
            "^VIX",
            {"synthetic": False, "origin": "bundled real prices: closes only, which stand for open, high and low"},
        ),
        ("EURUSD=X", {"synthetic": False, "origin": "ECB reference rates"}),
        ("GBPUSD=X", {"synthetic": False, "origin": "computed from ECB reference rates"}),
        ("INR=X", {"synthetic": False, "origin": "computed from ECB reference rates"}),
        ("USDMXN=X", {"synthetic": True, "origin": "synthetic series, seed 7"}),
        ("BTC-USD", {"synthetic": True, "origin": "synthetic series, seed 7"}),
    ],
)
def test_every_series_says_where_it_comes_from(symbol: str, statement: dict[str, object]) -> None:
    assert market("2026-11-24T16:20").listing(symbol).statement == statement


def test_a_day_opens_at_half_past_nine_in_new_york_summer_and_winter() -> None:
    there = market("2026-11-24T16:20")
    stock, euro = there.listing("AAPL"), there.listing("EURUSD=X")
    assert [there.session(stock, date(2012, month, 9))[0].hour for month in (1, 7)] == [14, 13]
    assert [there.session(euro, date(2012, month, 9))[0] for month in (1, 7)] == [at("2012-01-09"), at("2012-07-08T23")]
