"""Currencies. Rates are the ECB's real ones; expected amounts were computed by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import AssetClass, Batch, FxRate, Instrument, Kind, to_micros
from fintrack_tasks.transform.currency import MAX_AGE, FxRateBook, convert, fx_rate_of, main_unit

# 2024-03-28, Thursday before Easter: the ECB's rates of that day, published at 15:00 UTC.
THURSDAY = datetime(2024, 3, 28, 15, 0, tzinfo=UTC)
USD, GBP, JPY = Decimal("1.0811"), Decimal("0.85510"), Decimal("163.45")
ECB = [FxRate("EUR", code, THURSDAY, rate, "ecb") for code, rate in (("USD", USD), ("GBP", GBP), ("JPY", JPY))]


def live(base: str, quote: str, rate: str, at: datetime, source: str = "yahoo_finance") -> FxRate:
    return FxRate(base, quote, at, Decimal(rate), source)


def test_a_pair_is_converted_by_its_own_rate_and_says_which() -> None:
    found = convert(Decimal(250), "EUR", "USD", THURSDAY, ECB)
    assert (found.amount, found.rate, found.as_of, found.source) == (Decimal("270.275"), USD, THURSDAY, "ecb")
    assert [str(leg) for leg in found.legs] == ["EUR/USD"]


def test_the_opposite_pair_is_divided_by() -> None:
    """270.275 / 1.0811 is 250 exactly."""
    found = convert(Decimal("270.275"), "USD", "EUR", THURSDAY, ECB)
    assert found.amount == Decimal(250)
    assert [str(leg) for leg in found.legs] == ["1/(EUR/USD)"]
    assert found.rate == Decimal("0.9249838127832762926648783646")  # 1 / 1.0811 to 28 digits, by fractions


def test_a_pair_without_a_rate_goes_through_the_base() -> None:
    """1.0811 / 0.85510 dollars for a pound; to 28 digits, by fractions."""
    found = convert(Decimal(1), "GBP", "USD", THURSDAY, ECB)
    assert found.amount == found.rate == Decimal("1.264296573500175418079756754")
    assert [str(leg) for leg in found.legs] == ["1/(EUR/GBP)", "EUR/USD"]


def test_no_rate_of_a_later_time_is_used() -> None:
    later = [live("EUR", "USD", "2", THURSDAY + timedelta(microseconds=1))]
    assert convert(Decimal(1), "EUR", "USD", THURSDAY, [*ECB, *later]).rate == USD
    nothing = convert(Decimal(1), "EUR", "USD", THURSDAY - timedelta(microseconds=1), ECB)
    assert (nothing.amount, nothing.rate, nothing.legs) == (None, None, ())


def test_a_rate_is_used_until_it_is_too_old_and_then_there_is_none_with_a_finding() -> None:
    """Over Easter the ECB's rates of Thursday hold until Tuesday, 16:00 in Frankfurt."""
    easter_tuesday = datetime(2024, 4, 2, 13, 59, tzinfo=UTC)
    assert convert(Decimal(1), "EUR", "USD", easter_tuesday, ECB).rate == USD
    assert convert(Decimal(1), "EUR", "USD", THURSDAY + MAX_AGE, ECB).rate == USD
    stale = convert(Decimal(1), "EUR", "USD", THURSDAY + MAX_AGE + timedelta(microseconds=1), ECB, row=7)
    assert stale.amount is None
    assert stale.finding is not None
    assert (stale.finding.rule, stale.finding.severity, stale.finding.row) == ("no_rate", "flag", 7)
    assert "EUR to USD" in stale.finding.detail
    hour = timedelta(hours=1)
    assert convert(Decimal(1), "EUR", "USD", THURSDAY + 2 * hour, ECB, max_age=hour).amount is None


def test_both_legs_of_a_detour_must_be_fresh() -> None:
    at = THURSDAY + MAX_AGE + timedelta(hours=1)
    book = FxRateBook([*ECB, live("EUR", "GBP", "0.86", at)])
    assert convert(Decimal(1), "GBP", "USD", at, book).amount is None
    assert convert(Decimal(1), "EUR", "GBP", at, book).amount == Decimal("0.86")


def test_the_newest_way_counts_and_of_equally_new_ones_the_plainest() -> None:
    hour = THURSDAY + timedelta(hours=1)
    book = FxRateBook([*ECB, live("GBP", "USD", "1.25", THURSDAY), live("EUR", "USD", "1.09", hour)])
    at_once = convert(Decimal(1), "GBP", "USD", THURSDAY, book)
    assert (at_once.rate, at_once.source) == (Decimal("1.25"), "yahoo_finance")
    # The pound's leg of the detour is as old as the pair's own rate.
    assert convert(Decimal(1), "GBP", "USD", hour, book).rate == Decimal("1.25")
    newer = FxRateBook([*ECB, live("GBP", "USD", "1.25", THURSDAY - timedelta(days=1))])
    assert [str(leg) for leg in convert(Decimal(1), "GBP", "USD", THURSDAY, newer).legs] == ["1/(EUR/GBP)", "EUR/USD"]


def test_live_pairs_meet_in_dollars() -> None:
    rates = [live("GBP", "USD", "1.25", THURSDAY), live("USD", "JPY", "150", THURSDAY)]
    assert convert(Decimal(2), "GBP", "JPY", THURSDAY, rates).amount == Decimal("375.00")


def test_of_two_sources_at_one_moment_the_first_by_name_counts() -> None:
    for rates in ([live("EUR", "USD", "1.2", THURSDAY), ECB[0]], [ECB[0], live("EUR", "USD", "1.2", THURSDAY)]):
        assert convert(Decimal(1), "EUR", "USD", THURSDAY, rates).source == "ecb"


def test_the_sources_of_a_detour_are_both_named() -> None:
    found = convert(Decimal(1), "GBP", "USD", THURSDAY, [ECB[1], live("EUR", "USD", "1.08", THURSDAY)])
    assert found.source == "ecb, yahoo_finance"


# --- units


@pytest.mark.parametrize(
    ("code", "main", "places"),
    [("GBp", "GBP", 2), ("GBX", "GBP", 2), ("ILA", "ILS", 2), ("ZAc", "ZAR", 2), ("KWF", "KWD", 3), ("USD", "USD", 0)],
)
def test_a_minor_unit_is_an_exact_part_of_its_main_unit(code: str, main: str, places: int) -> None:
    assert main_unit(code) == (main, places)
    found = convert(Decimal("1259.50000001"), code, main, THURSDAY, [])
    assert found.amount == Decimal("1259.50000001").scaleb(-places)
    assert (found.rate, found.as_of, found.legs, found.finding) == (Decimal(1).scaleb(-places), None, (), None)
    assert convert(found.amount, main, code, THURSDAY, []).amount == Decimal("1259.50000001")


def test_pence_are_pounds_before_they_are_dollars() -> None:
    """1259.5 pence are 12.595 pounds; 12.595 x 1.0811 / 0.85510 to 28 digits, by fractions."""
    found = convert(Decimal("1259.5"), "GBp", "USD", THURSDAY, ECB)
    assert found.amount == Decimal("15.92381534323470939071453631")
    assert found.rate == Decimal("0.01264296573500175418079756754")
    assert convert(Decimal(1), "EUR", "GBX", THURSDAY, ECB).amount == Decimal("85.510")


def test_a_unit_is_changed_without_any_rounding() -> None:
    long = Decimal("1234567890123456789012345678901234567.89")
    assert str(convert(long, "GBp", "GBP", THURSDAY, []).amount) == "12345678901234567890123456789012345.6789"


def test_an_unknown_currency_is_not_guessed() -> None:
    for given_code in (None, "USDT", "XXX"):
        found = convert(Decimal(1), given_code, "USD", THURSDAY, ECB)
        assert found.amount is None
        assert found.finding is not None


def test_a_null_stays_null_without_a_finding() -> None:
    found = convert(None, "EUR", "USD", THURSDAY, ECB)
    assert (found.amount, found.rate, found.finding) == (None, USD, None)


def test_a_time_without_a_zone_and_a_rate_of_nought_are_refused() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        convert(Decimal(1), "EUR", "USD", THURSDAY.replace(tzinfo=None), ECB)
    for rate in ("0", "-1", "NaN", "Infinity"):
        with pytest.raises(ValueError, match="no rate above nought"):
            FxRateBook([live("EUR", "USD", rate, THURSDAY)])


# --- quotes of pairs are rates


@pytest.mark.parametrize(
    ("symbol", "currency", "base", "quote"),
    [("EURUSD=X", "USD", "EUR", "USD"), ("GBPJPY=X", None, "GBP", "JPY"), ("INR=X", "INR", "USD", "INR")],
)
def test_the_quote_of_a_pair_is_its_rate(symbol: str, currency: str | None, base: str, quote: str) -> None:
    batch = Batch(Kind.QUOTE, symbol, "x", {"timestamp": [to_micros(THURSDAY)], "price": ["1.08110"]}, currency)
    found = fx_rate_of(Instrument(symbol, AssetClass.FOREX), batch)
    assert found == FxRate(base, quote, THURSDAY, Decimal("1.08110"), "x")
    assert str(found.rate) == "1.08110"


@pytest.mark.parametrize(
    ("symbol", "kind", "currency", "price"),
    [
        ("BTC-USD", AssetClass.CRYPTO, "USD", "1"),
        ("AAPL", AssetClass.STOCK, "USD", "1"),
        ("EURUSD=X", AssetClass.FOREX, "EUR", "1"),
        ("USD=X", AssetClass.FOREX, "USD", "1"),
        ("EURUSD=X", AssetClass.FOREX, "USD", "0"),
    ],
)
def test_nothing_else_is_a_rate(symbol: str, kind: AssetClass, currency: str, price: str) -> None:
    batch = Batch(Kind.QUOTE, symbol, "x", {"timestamp": [0], "price": [price]}, currency)
    assert fx_rate_of(Instrument(symbol, kind), batch) is None


# --- properties

rates = st.decimals(Decimal("0.00001"), Decimal("1000000"), places=6).filter(lambda rate: rate > 0)
amounts = st.decimals(Decimal("0.0001"), Decimal("10000000000"), places=4)
TINY = Decimal("1e-26")


@given(amounts, rates)
def test_there_and_back_again_is_where_one_was(amount: Decimal, rate: Decimal) -> None:
    book = FxRateBook([FxRate("EUR", "USD", THURSDAY, rate, "x")])
    there = convert(amount, "EUR", "USD", THURSDAY, book).amount
    back = convert(there, "USD", "EUR", THURSDAY, book).amount
    assert back is not None
    assert abs(back - amount) <= amount * TINY


@given(amounts, rates, rates, rates)
def test_a_detour_through_the_base_is_the_product_of_its_legs(
    amount: Decimal, usd: Decimal, gbp: Decimal, jpy: Decimal
) -> None:
    named = (("USD", usd), ("GBP", gbp), ("JPY", jpy))
    book = FxRateBook([FxRate("EUR", code, THURSDAY, rate, "x") for code, rate in named])
    direct = convert(amount, "GBP", "JPY", THURSDAY, book).amount
    halfway = convert(amount, "GBP", "EUR", THURSDAY, book).amount
    stepwise = convert(halfway, "EUR", "JPY", THURSDAY, book).amount
    around = convert(convert(amount, "GBP", "USD", THURSDAY, book).amount, "USD", "JPY", THURSDAY, book).amount
    assert direct is not None
    assert stepwise is not None
    assert around is not None
    assert abs(direct - stepwise) <= direct * TINY
    assert abs(direct - around) <= direct * TINY


@given(st.lists(st.tuples(st.integers(-200, 200), rates), min_size=1, max_size=20), st.integers(-200, 200))
def test_the_rate_is_the_newest_of_those_before(told: list[tuple[int, Decimal]], hour: int) -> None:
    known = {THURSDAY + timedelta(hours=n): rate for n, rate in told}
    at = THURSDAY + timedelta(hours=hour)
    found = convert(Decimal(1), "EUR", "USD", at, [FxRate("EUR", "USD", t, rate, "x") for t, rate in known.items()])
    before = [t for t in known if at - MAX_AGE <= t <= at]
    assert found.as_of == max(before, default=None)
    assert found.rate == (known[max(before)] if before else None)
