"""Fields of an answer: exact decimals within bounds, texts, currencies, times."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import TimeRange
from fintrack_tasks.errors import MalformedError
from fintrack_tasks.fetch.providers.answers import (
    currency,
    exact_decimal,
    label,
    price_time,
    retry_after,
    source_statement,
    text,
)
from fintrack_tasks.fetch.providers.base import HttpResponse
from fintrack_tasks.fetch.providers.json_body import json_body

NOW = datetime(2026, 11, 27, 21, 0, tzinfo=UTC)
WINDOW = TimeRange(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 10, tzinfo=UTC))
DAY = 1_704_153_600  # 2024-01-02, midnight UTC
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


def read(body: str | bytes, **options: Any) -> Any:
    return json_body(HttpResponse(200, body.encode() if isinstance(body, str) else body), **options)


# --- numbers


@given(st.integers(0, 10**20), st.integers(-20, 10))
def test_a_number_of_any_market_is_read_exactly(digits: int, places: int) -> None:
    written = Decimal(digits).scaleb(places)
    for told in (f"{written}", f"{written:f}"):
        found = exact_decimal(told, "price")
        assert found is not None
        assert Decimal(found) == written


@pytest.mark.parametrize(
    "written",
    [
        *("1e999", "1e1000000", "1e-1000000000", "-1e-400", "0e999999999", "0e-999999999", "1e41", "1e-41"),
        *("1" * 41, "1." + "0" * 500, "9" * 500, "0." + "0" * 60 + "1"),
    ],
)
def test_a_number_beyond_any_market_is_malformed_as_text_and_as_a_number(written: str) -> None:
    with pytest.raises(MalformedError):
        exact_decimal(written, "volume")
    if not written.startswith("0e"):  # the float is zero, as it is written
        with pytest.raises(MalformedError):
            exact_decimal(read(f"[{written}]")[0], "volume")


@pytest.mark.parametrize(
    "written", ["36893488147419103233", "9007199254740993.123", "1.00000000000000000001", "131.22999572753906", "1e-18"]
)
def test_numbers_beyond_the_floats_keep_every_digit(written: str) -> None:
    assert exact_decimal(read(f"[{written}]")[0], "volume") == written


# --- texts


@pytest.mark.parametrize("value", ["US\x00D", "U\x1b[2JD", "a\nb", "x" * 65, 7, ["USD"]])
def test_text_that_cannot_be_printed_is_none(value: object) -> None:
    with pytest.raises(MalformedError):
        text(value, "name")
    with pytest.raises(MalformedError):
        currency(value, "currency")
    assert label(value) is None


def test_a_currency_is_a_code() -> None:
    assert [currency(code, "currency") for code in ("USD", "GBp", "USDT", "", None)] == [
        "USD",
        "GBp",
        "USDT",
        None,
        None,
    ]
    for wrong in ("US Dollar", "$", "USD'; --", "1", "null", "NaN", "None", "undefined"):
        with pytest.raises(MalformedError):
            currency(wrong, "currency")


def test_of_a_sources_statement_its_plain_values_are_kept() -> None:
    said = {"synthetic": True, "origin": "made", "deep": [[[1]]], "a b": "x", "ctl": "\x1b", "long": "y" * 900}
    assert source_statement(said) == {"synthetic": True, "origin": "made", "long": "y" * 200}
    assert source_statement(["x"]) == {}


# --- times


def test_a_time_beyond_the_calendar_is_told_all_the_same() -> None:
    with pytest.raises(MalformedError, match="microseconds"):
        price_time(-(10**30), "time")


# --- Retry-After


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("99999999999999", 31 * 86_400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 31 * 86_400.0),
        ("Wed, 10 Jan 2024 12:02:00 GMT", 120.0),
        ("Wednesday, 10-Jan-24 12:02:00 GMT", 120.0),
        ("Wed, 10 Jan 2024 11:00:00 GMT", 0.0),
        ("Wed, 10 Jan 2024 13:02:00 +0100", 120.0),
        ("Wed, 10 Jan 2024 12:02:00 -0000", 120.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("Wed, 99 Jan 2024 12:02:00 GMT", None),
    ],
)
def test_retry_after_in_both_forms(text: str, seconds: float | None) -> None:
    now = datetime(2024, 1, 10, 12, tzinfo=UTC)
    assert retry_after({"retry-after": text}, now) == seconds


def test_retry_after_may_be_absent() -> None:
    assert retry_after({}, datetime(2024, 1, 10, tzinfo=UTC)) is None
