"""Synthetic series: the same under a seed, at any date, and plausible."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import AssetClass
from fintrack_tasks.sandbox.synthetic import draws, series_of

DAYS = st.dates(min_value=date(1990, 1, 2), max_value=date(2040, 1, 1))
SYMBOLS = st.sampled_from(["XYZ1", "^DJI", "USDMXN=X", "BTC-USD", "ETH-BTC", "DOGE-EUR", "PENNY"])


@given(SYMBOLS, DAYS, st.integers(min_value=0, max_value=2**31))
def test_a_day_is_the_same_reached_alone_or_walked_to(symbol: str, day: date, seed: int) -> None:
    """Prices of a day depend on seed, symbol and date alone; low <= open, close <= high; all above nought."""
    series = series_of(seed, symbol, AssetClass.by_form(symbol))
    walked = list(series.days(day - timedelta(days=6), day))
    assert walked == [series_of(seed, symbol, AssetClass.by_form(symbol)).day(d.day) for d in walked]
    for d in walked:
        assert 0 < d.low <= min(d.open, d.close) <= max(d.open, d.close) <= d.high
        assert d.high / d.low < 1.25
        assert d.volume >= 0
        assert [round(price, series.decimals) for price in (d.open, d.high, d.low, d.close)] == [
            d.open, d.high, d.low, d.close,
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("symbol", "least", "most"), [("BTC-USD", 10_000, 100_000), ("ETH-USD", 1_000, 10_000), ("ETH-BTC", 0.02, 0.2)]
)
def test_coins_are_worth_what_such_coins_are(symbol: str, least: float, most: float) -> None:
    for seed in range(5):
        series = series_of(seed, symbol, AssetClass.CRYPTO)
        closes = [series.day(date(2012, 1, 1) + timedelta(days=100 * i)).close for i in range(50)]
        assert least < min(closes) <= max(closes) < most


def test_a_coin_in_two_currencies_moves_as_one() -> None:
    dollar, euro = (series_of(7, symbol, AssetClass.CRYPTO) for symbol in ("BTC-USD", "BTC-EUR"))
    rates = [dollar.day(day).close / euro.day(day).close for day in (date(2020, 1, 1), date(2021, 1, 1))]
    assert rates[0] == pytest.approx(rates[1], rel=1e-4)


def test_the_seed_and_the_symbol_matter() -> None:
    day = date(2024, 5, 6)
    stock = AssetClass.STOCK
    assert len({series_of(seed, symbol, stock).day(day) for seed in (1, 2) for symbol in ("A", "B")}) == 4


def test_stocks_rest_on_weekends_and_holidays_and_coins_never() -> None:
    week = date(2026, 7, 1), date(2026, 7, 7)
    stock = [d.day.day for d in series_of(7, "XYZ1", AssetClass.STOCK).days(*week)]
    assert stock == [1, 2, 6, 7]  # the holiday of July 4th, a Saturday, is kept on Friday
    assert len(list(series_of(7, "BTC-USD", AssetClass.CRYPTO).days(*week))) == 7


def test_series_begin_in_1990_those_of_coins_in_2010() -> None:
    last = date(2010, 1, 4)
    assert next(series_of(7, "XYZ1", AssetClass.STOCK).days(date(1900, 1, 1), last)).day == date(1990, 1, 2)
    assert next(series_of(7, "BTC-USD", AssetClass.CRYPTO).days(date(1900, 1, 1), last)).day == date(2010, 1, 1)


def test_draws_spread_over_the_unit_interval() -> None:
    found = draws(10_000, "any", 1)
    assert 0 <= min(found) < 0.01
    assert 0.99 < max(found) < 1
    assert sum(found) / len(found) == pytest.approx(0.5, abs=0.02)
