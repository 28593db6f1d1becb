"""Dividends and capital gains in another currency than the prices beside them are marked, once each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fintrack_tasks.domain import Batch, Interval, Kind, to_micros
from fintrack_tasks.validate import check_batch
from fintrack_tasks.validate.corporate_actions import check_corporate_actions

DAYS = [datetime(2026, 3, day, tzinfo=UTC) for day in (11, 12, 13)]
OPENS = to_micros(DAYS[1] + timedelta(hours=8))


def bars(currency: str | None = "GBp", days: int = 3, **meta: Any) -> Batch:
    stamps = [to_micros(day) for day in DAYS[:days]]
    prices = {name: ["900"] * days for name in ("open", "high", "low", "close")}
    columns: dict[str, list[Any]] = {"timestamp": stamps, **prices, "volume": ["1"] * days}
    return Batch(Kind.BARS, "HSBA.L", "yahoo_finance", columns, currency, Interval.D1, meta)


@pytest.mark.parametrize("name", ["dividends", "capital_gains"])
@pytest.mark.parametrize(("currency", "told"), [("GBp", "USD"), ("GBp", "GBP"), ("USD", "CAD"), (None, "USD")])
def test_a_payment_in_another_currency_flags_the_row_of_its_ex_date(name: str, currency: str | None, told: str) -> None:
    """yfinance#2270."""
    batch = bars(currency, **{name: [[OPENS, "0.25", told]]})
    [found] = [each for each in check_batch(batch, DAYS[2]) if each.rule == "payment_currency"]
    assert (found.severity, found.row) == ("flag", 1)
    assert f"0.25 {told}" in found.detail


def test_payments_in_the_currency_of_the_prices_are_no_matter() -> None:
    assert check_corporate_actions(bars(dividends=[[OPENS, "10"], [OPENS, "10", "GBp"]])) == []
    assert check_corporate_actions(bars(days=0, dividends=[[OPENS, "0.25", "USD"]])) == []


def test_one_row_alone_is_marked_too() -> None:
    batch = bars(days=1, dividends=[[OPENS, "0.25", "USD"]])
    assert [(each.rule, each.row) for each in check_batch(batch, DAYS[2])] == [("payment_currency", 0)]


NONSENSE = ["1e999", "1e1000000", "1e-1000000000", "0", "-1", "two", "NaN", "9" * 500]


@pytest.mark.parametrize("number", NONSENSE)
def test_what_can_be_no_split_and_no_payment_is_marked_on_the_row_of_its_day(number: str) -> None:
    splits = [[OPENS, number, "1"], [OPENS, "1", number], [OPENS, "2", "1"]]
    batch = bars(splits=splits, dividends=[[OPENS, number], [OPENS, "0.5"]], capital_gains=[[OPENS, number, "USD"]])
    found = [(each.rule, each.severity, each.row) for each in check_batch(batch, DAYS[2])]
    assert found == [("split_values", "flag", 1)] * 2 + [("payment_values", "flag", 1)] * 2
    assert all(len(each.detail) < 200 for each in check_corporate_actions(batch))


@pytest.mark.parametrize("ratio", ["1", "1.0000000001", "100001", "0.000001"])
def test_a_split_that_changes_nothing_or_everything_is_marked(ratio: str) -> None:
    assert [each.rule for each in check_corporate_actions(bars(splits=[[OPENS, ratio, "1"]]))] == ["split_values"]


def test_a_payment_in_what_is_no_currency_is_marked_once() -> None:
    assert [each.rule for each in check_corporate_actions(bars(dividends=[[OPENS, "1", "US Dollar"]]))] == [
        "payment_values"
    ]
