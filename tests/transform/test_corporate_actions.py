"""Splits and dividends of a batch, from what a provider tells beside its bars."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from fintrack_tasks.domain import Batch, CorporateAction, Interval, Kind, from_micros, to_micros
from fintrack_tasks.transform import clean_batch
from fintrack_tasks.transform.corporate_actions import actions_of, adjusted_to

OPENS = datetime(2005, 2, 28, 14, 30, tzinfo=UTC)
STAMP = to_micros(OPENS)


def batch(currency: str = "USD", **meta: Any) -> Batch:
    columns = {"timestamp": [0], "open": ["1"], "high": ["1"], "low": ["1"], "close": ["1"]}
    return Batch(Kind.BARS, "AAPL", "yahoo_finance", columns, currency, Interval.D1, meta)


def test_a_split_is_as_many_new_shares_for_so_many_old_ones_from_its_ex_date_on() -> None:
    told = batch(zone="America/New_York", splits=[[STAMP, "2", "1"]])
    assert actions_of(told) == [CorporateAction("split", date(2005, 2, 28), OPENS, Decimal(2), Decimal(1))]


def test_the_ex_date_is_that_of_the_exchange() -> None:
    """23:00 UTC is 10:00 of the next day in Sydney."""
    stamp = to_micros(datetime(2022, 1, 9, 23, 0, tzinfo=UTC))
    [dividend] = actions_of(batch("AUD", zone="Australia/Sydney", dividends=[[stamp, "0.41"]]))
    assert (dividend.ex_date, dividend.amount, dividend.currency) == (date(2022, 1, 10), Decimal("0.41"), "AUD")


def test_what_is_told_twice_counts_once_and_what_is_told_beside_it_is_added() -> None:
    later = STAMP + 60_000_000
    [split, *rest] = actions_of(batch(splits=[[STAMP, "3", "2"], [later, "3", "2"]]))
    assert (split.numerator, split.denominator, rest) == (Decimal(3), Decimal(2), [])
    [dividend] = actions_of(batch(dividends=[[STAMP, "0.25"], [STAMP, "0.25"], [later, "3"]]))
    assert (dividend.amount, dividend.effective_at) == (Decimal("3.25"), OPENS)


def test_dividends_in_pence_are_pounds_as_the_prices_are() -> None:
    told = batch("GBp", zone="Europe/London", dividends=[[STAMP, "12.75"]])
    for cleaned in (clean_batch(told), clean_batch(clean_batch(told))):
        [dividend] = actions_of(cleaned)
        assert (dividend.amount, dividend.currency) == (Decimal("0.1275"), "GBP")


@pytest.mark.parametrize(
    ("told", "amount", "currency"),
    [
        (["0.25", "USD"], "0.25", "USD"),
        (["0.10", "GBP"], "0.10", "GBP"),  # ten pence, told in pounds
        (["10", "GBp"], "0.10", "GBP"),
        (["350", "ZAc"], "3.50", "ZAR"),
        (["10"], "0.10", "GBP"),
    ],
)
@pytest.mark.parametrize(("name", "kind"), [("dividends", "dividend"), ("capital_gains", "capital_gain")])
def test_what_is_paid_is_in_its_own_currency_and_else_in_that_of_the_prices(
    name: str, kind: str, told: list[str], amount: str, currency: str
) -> None:
    """yfinance#2270: prices in pence, the dividend in dollars."""
    paid = batch("GBp", zone="Europe/London", **{name: [[STAMP, *told]]})
    for each in (paid, clean_batch(paid), clean_batch(clean_batch(paid))):
        [action] = actions_of(each)
        assert (action.kind, action.amount, action.currency) == (kind, Decimal(amount), currency)


def test_the_same_dividend_told_in_pounds_and_in_pence_counts_once() -> None:
    [dividend] = actions_of(batch("GBp", dividends=[[STAMP, "0.10", "GBP"], [STAMP, "10"], [STAMP, "10.0", "GBp"]]))
    assert (dividend.amount, dividend.currency) == (Decimal("0.10"), "GBP")


def test_a_days_dividends_in_two_currencies_have_no_sum_that_could_be_told() -> None:
    [dividend] = actions_of(batch(dividends=[[STAMP, "0.10", "GBP"], [STAMP, "0.10", "USD"]]))
    assert (dividend.kind, dividend.amount, dividend.currency) == ("dividend", None, None)


def test_a_funds_capital_gain_is_an_action_beside_its_dividend() -> None:
    """yfinance#926."""
    told = batch(zone="America/New_York", dividends=[[STAMP, "1.437"]], capital_gains=[[STAMP, "6.42"]])
    assert [(each.kind, each.ex_date, each.amount) for each in actions_of(told)] == [
        ("capital_gain", date(2005, 2, 28), Decimal("6.42")),
        ("dividend", date(2005, 2, 28), Decimal("1.437")),
    ]


def test_up_to_which_date_a_provider_has_restated_is_kept_with_a_dividend() -> None:
    told = batch(dividends=[[STAMP, "0.1"]], adjusted_to="2024-05-06")
    assert actions_of(told)[0].adjusted_to == adjusted_to(told) == date(2024, 5, 6)
    assert adjusted_to(batch()) is None


def test_a_split_of_one_for_one_and_a_dividend_of_nothing_are_none() -> None:
    assert actions_of(batch(splits=[[STAMP, "1", "1"]], dividends=[[STAMP, "0"]])) == []
    assert actions_of(batch()) == []
    assert actions_of(replace(batch(), meta={})) == []


@pytest.mark.parametrize("ratio", ["1e400", "1.0000000001", "0.000001"])
def test_a_ratio_that_no_exchange_ever_saw_is_no_split(ratio: str) -> None:
    assert actions_of(batch(splits=[[STAMP, ratio, "1"]])) == []


def test_a_zone_that_nobody_knows_is_read_as_utc() -> None:
    [split] = actions_of(batch(splits=[[STAMP, "2", "1"]], zone="Nowhere/Town"))
    assert split.ex_date == from_micros(STAMP).date()
    assert actions_of(batch(zone="Nowhere/Town")) == []


@pytest.mark.parametrize(
    "meta",
    [{"splits": [[STAMP, "2", "1", "1"]]}, {"splits": [[STAMP]]}, {"dividends": 7}, {"dividends": [[None, "1"]]}],
)
def test_what_cannot_be_read_is_said(meta: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no splits and dividends|values to unpack"):
        actions_of(batch(**meta))


NONSENSE = [
    "1e999",
    "1e1000000",
    "1e-1000000000",
    "0",
    "-1",
    "-0.25",
    "two",
    "NaN",
    "Infinity",
    "",
    "9" * 500,
    "\u0663",
]


@pytest.mark.parametrize("number", NONSENSE)
def test_what_can_be_no_number_of_a_split_or_a_payment_counts_as_not_told(number: str) -> None:
    """The others of its day stand."""
    splits = [[STAMP, number, "1"], [STAMP, "1", number], [STAMP, "2", "1"]]
    paid = [[STAMP, number], [STAMP, "0.25"], [STAMP, "0.5", "US Dollar"]]
    told = actions_of(batch(splits=splits, dividends=paid, capital_gains=[[STAMP, number]]))
    assert [(each.kind, each.numerator, each.amount) for each in told] == [
        ("dividend", None, Decimal("0.25")),
        ("split", Decimal(2), None),
    ]
