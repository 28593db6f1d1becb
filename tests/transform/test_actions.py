"""Splits and dividends of a batch, from what a provider tells beside its bars."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from fintrack_tasks.domain import Batch, CorporateAction, Interval, Kind, from_micros, to_micros
from fintrack_tasks.transform import clean_batch
from fintrack_tasks.transform.actions import actions_of, adjusted_to

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
    "meta", [{"splits": [[STAMP, "two", "1"]]}, {"splits": [[STAMP]]}, {"dividends": 7}, {"dividends": [[None, "1"]]}]
)  # fmt: skip
def test_what_cannot_be_read_is_said(meta: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no splits and dividends|values to unpack"):
        actions_of(batch(**meta))
