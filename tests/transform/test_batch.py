"""Cleaning of a batch. Expected values were worked out by hand."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fintrack_tasks.domain import Batch, Interval, Kind
from fintrack_tasks.transform import clean_batch


def quote(currency: str | None = "USD", **cells: Any) -> Batch:
    row = {"timestamp": 1, "price": "189.50", "volume": "1000", "previous_close": "188.00", **cells}
    return Batch(Kind.QUOTE, "AAPL", "x", {name: [cell] for name, cell in row.items()}, currency)


def bars(currency: str | None = "USD", **columns: list[Any]) -> Batch:
    made: dict[str, list[Any]] = {"timestamp": [3, 1, 2], "open": ["30", "10", "20"], "close": ["31", "11", "21"]}
    return Batch(Kind.BARS, "AAPL", "x", {**made, **columns}, currency, Interval.D1, {"zone": "UTC"})


def change(price: str | None, previous: str | None) -> tuple[str | None, str | None]:
    row = clean_batch(quote(price=price, previous_close=previous)).row(0)
    return row["price_change"], row["price_change_pct"]


def test_rows_run_from_the_oldest_to_the_newest() -> None:
    cleaned = clean_batch(bars())
    assert cleaned.columns == {"timestamp": [1, 2, 3], "open": ["10", "20", "30"], "close": ["11", "21", "31"]}


def test_rows_of_one_time_keep_their_order() -> None:
    assert clean_batch(bars(timestamp=[2, 1, 1])).columns["open"] == ["10", "20", "30"]


def test_bars_in_order_and_in_whole_units_come_back_untouched() -> None:
    batch = bars(timestamp=[1, 2, 3])
    assert clean_batch(batch) is batch


@pytest.mark.parametrize(("unit", "currency"), [("GBp", "GBP"), ("GBX", "GBP"), ("ZAc", "ZAR"), ("ILA", "ILS")])
def test_minor_units_become_the_main_unit_exactly_and_are_recorded(unit: str, currency: str) -> None:
    cleaned = clean_batch(
        bars(unit, open=["123.45", None, "7"], close=["1e2", "0.1", "75.0875015258789"], volume=["5"] * 3)
    )
    assert cleaned.columns["open"] == [None, "0.07", "1.2345"]
    assert cleaned.columns["close"] == ["0.001", "0.750875015258789", "1"]
    assert cleaned.columns["volume"] == ["5"] * 3
    assert (cleaned.currency, cleaned.meta) == (currency, {"zone": "UTC", "unit": unit})


def test_cleaning_twice_changes_nothing() -> None:
    once = clean_batch(bars("GBp"))
    assert clean_batch(once) == once


def test_pounds_dollars_and_unknown_currencies_are_left_alone() -> None:
    for currency in ("GBP", "USD", "ZAR", None):
        assert clean_batch(bars(currency, timestamp=[1, 2, 3])).columns["open"] == ["30", "10", "20"]


def test_a_quote_in_pence_changes_by_pounds() -> None:
    row = clean_batch(quote("GBp", price="250", previous_close="200", bid="249.5")).row(0)
    assert (row["price"], row["previous_close"], row["bid"]) == ("2.50", "2.00", "2.495")
    assert (row["price_change"], Decimal(row["price_change_pct"])) == ("0.50", Decimal("0.25"))


@pytest.mark.parametrize(
    ("price", "previous", "expected"),
    [
        ("189.50", "188.00", ("1.50", "0.007978723404")),  # 1.5 / 188 = 0.00797872340425...
        ("2", "3", ("-1", "-0.3333333333")),
        ("0.1", "0.3", ("-0.2", "-0.6666666667")),
        ("5", "5", ("0", "0")),
        ("189.5", None, (None, None)),
        ("189.5", "0", (None, None)),
        ("189.5", "0.00", (None, None)),
    ],
)
def test_the_change_is_exact_and_its_share_has_ten_digits(
    price: str, previous: str | None, expected: tuple[str | None, str | None]
) -> None:
    assert change(price, previous) == expected


def test_a_quote_without_the_column_of_the_previous_close_has_no_change() -> None:
    batch = Batch(Kind.QUOTE, "AAPL", "x", {"timestamp": [1], "price": ["1"], "volume": [None]})
    assert clean_batch(batch).row(0)["price_change"] is None


@pytest.mark.parametrize("price", ["abc", "nan", "sNaN", "inf"])
def test_what_is_no_decimal_is_refused(price: str) -> None:
    with pytest.raises(ValueError, match="number"):
        clean_batch(quote(price=price))


def test_the_input_is_left_as_it_is() -> None:
    batch = bars("GBp")
    clean_batch(batch)
    assert batch == bars("GBp")


PRICE = st.decimals(allow_nan=False, allow_infinity=False, min_value="0.0001", max_value="1e12", places=10)


@given(PRICE, PRICE)
def test_the_change_agrees_with_exact_fractions(price: Decimal, previous: Decimal) -> None:
    assume(previous)
    difference, share = change(str(price), str(previous))
    assert difference is not None
    assert share is not None
    exact = Fraction(price) - Fraction(previous)
    assert Fraction(difference) == exact
    assert abs(Fraction(share) - exact / Fraction(previous)) <= abs(exact / Fraction(previous)) * Fraction(1, 10**9) / 2
    assert "e" not in (difference + share).lower()


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value="1e12", places=12))
def test_pence_are_a_hundredth_exactly(price: Decimal) -> None:
    assert Fraction(clean_batch(quote("GBp", price=str(price))).row(0)["price"]) == Fraction(price) / 100


def test_a_quotes_way_imports_neither_pandas_nor_ta_lib() -> None:
    program = (
        "import sys\n"
        "from datetime import UTC, datetime\n"
        "from fintrack_tasks.domain import Batch, Kind\n"
        "from fintrack_tasks.transform import clean_batch\n"
        "from fintrack_tasks.validate import check_batch\n"
        "batch = Batch(Kind.QUOTE, 'AAPL', 'x', {'timestamp': [0], 'price': ['1'], 'previous_close': ['2']}, 'USD')\n"
        "check_batch(batch, datetime(1970, 1, 1, tzinfo=UTC))\n"
        "assert clean_batch(batch).columns['price_change'] == ['-1']\n"
        "print(sorted({'pandas', 'numpy', 'talib'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
