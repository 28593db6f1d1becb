"""The bundled prices keep the decimals of their files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest

from fintrack_tasks.sandbox.prices import fx_pair, rate_decimals, real_daily, real_daily_bars, real_splits, slice_days

Rows = Callable[[str], list[dict[str, str]]]
FIELDS = ("open", "high", "low", "close", "adj_close", "volume")


def test_every_number_of_the_daily_file_has_its_text_again(bundled: Rows) -> None:
    days = {symbol: {day.day.isoformat(): day for day in listed} for symbol, listed in real_daily().items()}
    for row in bundled("daily.csv.gz"):
        day = days[row["symbol"]][row["date"]]
        assert [repr(getattr(day, name)) for name in FIELDS] == [row[name] for name in FIELDS]
        assert max(len(row[name].replace(".", "").strip("0")) for name in FIELDS[:4]) <= 15


def test_an_index_of_closes_has_them_for_open_high_and_low_and_no_day_without_one(bundled: Rows) -> None:
    closes = {row["date"]: float(row["close"]) for row in bundled("vix_close.csv.gz") if row["close"]}
    found = {d.day.isoformat(): (d.open, d.high, d.low, d.close, d.volume) for d in real_daily()["^VIX"]}
    assert found == {day: (close, close, close, close, 0) for day, close in closes.items()}


def test_the_exact_bars_are_the_files_own_decimals(bundled: Rows) -> None:
    bars = real_daily_bars()
    rows = bundled("daily.csv.gz")
    assert sum(len(days) for symbol, days in bars.items() if symbol != "^VIX") == len(rows)
    for row in rows[::97]:
        assert bars[row["symbol"]][date.fromisoformat(row["date"])] == {name: Decimal(row[name]) for name in FIELDS}


def test_a_euro_pair_is_the_ecbs_number_on_every_day_that_has_one(bundled: Rows) -> None:
    rates = {row["date"]: float(row["USD"]) for row in bundled("ecb_eur_rates.csv.gz") if row["USD"]}
    pair = fx_pair("EUR", "USD")
    assert pair is not None
    assert {d.day.isoformat(): d.close for d in pair} == rates
    assert all(d.open == d.high == d.low == d.close == d.adj_close and d.volume == 0 for d in pair)
    assert [d.day for d in pair] == sorted(d.day for d in pair)


@pytest.mark.parametrize(("base", "quote"), [("USD", "EUR"), ("GBP", "JPY"), ("JPY", "USD")])
def test_an_inverse_or_a_cross_is_the_quotient_of_two_rates(base: str, quote: str, bundled: Rows) -> None:
    pair = fx_pair(base, quote)
    assert pair is not None
    found = {d.day.isoformat(): d.close for d in pair}
    for row in bundled("ecb_eur_rates.csv.gz")[::250]:
        one = {"EUR": "1", **row}
        if one[base] and one[quote]:
            exact = Decimal(one[quote]) / Decimal(one[base])
            assert abs(Decimal(repr(found[row["date"]])) / exact - 1) < Decimal("0.00001")


def test_a_currency_that_the_ecb_does_not_quote_has_no_pair() -> None:
    assert fx_pair("USD", "XAU") is None
    assert fx_pair("EUR", "EUR") is None


@pytest.mark.parametrize(("rate", "decimals"), [(157.2, 5), (1.1, 5), (0.83, 6), (0.0064, 8)])
def test_a_rate_keeps_six_significant_digits(rate: float, decimals: int) -> None:
    assert rate_decimals(rate) == decimals


def test_the_known_splits_are_found_and_no_others() -> None:
    assert real_splits("AAPL") == ((date(2000, 6, 21), 2), (date(2005, 2, 28), 2))
    assert real_splits("MSFT") == ((date(2003, 2, 18), 2),)
    assert [real_splits(symbol) for symbol in ("IBM", "GOOG", "FB", "^GSPC", "^IXIC", "^VIX", "NONE")] == [()] * 7


def test_a_slice_holds_both_its_ends() -> None:
    days = real_daily()["AAPL"]
    found = slice_days(days, date(2001, 9, 10), date(2001, 9, 17))
    assert [d.day for d in found] == [date(2001, 9, 10), date(2001, 9, 17)]  # the exchange was closed between them
    assert slice_days(days, date(2020, 1, 1), date(2021, 1, 1)) == ()
