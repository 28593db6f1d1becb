"""Decimal text keeps every digit, and only finite numbers have one."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import (
    decimal_text,
)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimals_text_is_the_decimal(number: Decimal) -> None:
    text = decimal_text(number)
    assert text is not None
    assert Decimal(text) == number
    assert decimal_text(str(number)) == str(number)


@given(st.integers(1, 10**15 - 1), st.integers(0, 12))
def test_fifteen_digits_come_through_a_json_number_as_they_were_written(digits: int, places: int) -> None:
    written = Decimal(digits).scaleb(-places)
    text = decimal_text(json.loads(f"{written:f}"))
    assert text is not None
    assert Decimal(text) == written


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_floats_text_is_the_float(number: float) -> None:
    text = decimal_text(number)
    assert text is not None
    assert float(text) == number


def test_nothing_is_no_number_yet_no_error() -> None:
    assert decimal_text(None) is None
    assert decimal_text("") is None
    assert decimal_text(" 246.28000000 ") == "246.28000000"


@pytest.mark.parametrize(
    "value", ["abc", "nan", float("nan"), float("inf"), True, [], {}, b"1", "1_000", "٣", "1,5", " "]
)
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="not a"):
        decimal_text(value)
