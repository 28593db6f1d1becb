"""Coinbase Exchange as the sandbox plays it, over real HTTP, against recorded answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
import requests

Get = Callable[..., requests.Response]
DAY = 86_400
CANDLES = "coinbase/products/BTC-USD/candles"


TOO_MANY = {
    "message": "granularity too small for the requested time range. Count of aggregations requested exceeds 300"
}
NOT_FOUND = {"message": "NotFound"}
TOO_OLD = {"message": "End is too old"}


def test_the_answers_that_are_expected_here_are_the_recorded_ones(samples: Path) -> None:
    names = ("error-400-too-many-candles", "error-404-notfound", "error-400-end-too-old", "candles-empty-200")
    found = [json.loads((samples / "coinbase" / f"{name}.json").read_text()) for name in names]
    assert found == [TOO_MANY, NOT_FOUND, TOO_OLD, []]


def test_products_have_the_recorded_fields(get: Get, samples: Path) -> None:
    like = json.loads((samples / "coinbase/products-2021-08-trimmed.json").read_text())
    products = get("coinbase/products").json()
    assert {"BTC-USD", "ETH-USD", "SOL-USD", "BTC-EUR", "ETH-EUR", "LTC-USD"} <= {each["id"] for each in products}
    for product in products:
        assert {name: type(value) for name, value in product.items()} == {n: type(v) for n, v in like[0].items()}
        assert get(f"coinbase/products/{product['id']}").json() == product


@pytest.mark.parametrize("product", ["BTC-USD", "ETH-BTC", "ANY1-USD", "DOGE-EUR"])
def test_a_ticker_has_the_recorded_fields_and_types(product: str, get: Get, samples: Path, now: datetime) -> None:
    like = json.loads((samples / "coinbase/ticker-BTC-USD-2015-04-08.json").read_text())
    ticker = get(f"coinbase/products/{product}/ticker").json()
    assert {name: type(value) for name, value in ticker.items()} == {name: type(value) for name, value in like.items()}
    assert 0 < float(ticker["bid"]) <= float(ticker["price"]) <= float(ticker["ask"])
    assert datetime.fromisoformat(ticker["time"]) == now
    assert len(ticker["time"]) == len(like["time"])


@pytest.mark.parametrize("seconds", [60, 300, 900, 3_600, 21_600, 86_400])
def test_candles_are_newest_first_on_the_grid_three_hundred_by_default(seconds: int, get: Get, now: datetime) -> None:
    """Rows of time, low, high, open, close, volume; the newest is the one in progress."""
    rows = get(CANDLES, granularity=seconds).json()
    stamps = [row[0] for row in rows]
    newest = int(now.timestamp()) // seconds * seconds
    assert stamps == [newest - seconds * i for i in range(len(rows))]
    assert 299 <= len(rows) <= 300
    assert {len(row) for row in rows} == {6}
    for _, low, high, opens, closes, volume in rows:
        assert low <= min(opens, closes) <= max(opens, closes) <= high
        assert volume >= 0


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-01-01", "2026-01-10"),
        ("2026-01-01T00:00:00Z", "2026-01-10T00:00:00Z"),
        ("2026-01-01T01:00:00+01:00", "2026-01-10T23:59:59"),
        ("1767225600", "1768003200"),
    ],
)
def test_both_ends_belong_to_a_range_however_they_are_written(start: str, end: str, get: Get) -> None:
    rows = get(CANDLES, granularity=DAY, start=start, end=end).json()
    assert [row[0] for row in rows] == [1_768_003_200 - DAY * i for i in range(10)]


def test_the_three_hundredth_candle_is_served_and_the_next_refused(get: Get) -> None:
    first = 1_735_689_600
    assert len(get(CANDLES, granularity=DAY, start=first, end=first + 299 * DAY).json()) == 300
    answer = get(CANDLES, granularity=DAY, start=first, end=first + 300 * DAY)
    assert (answer.status_code, answer.json()) == (400, TOO_MANY)


def test_a_range_before_there_was_a_market_is_too_old(get: Get) -> None:
    answer = get(CANDLES, granularity=DAY, start="2001-01-01", end="2001-01-05")
    assert (answer.status_code, answer.json()) == (400, TOO_OLD)


def test_a_range_to_come_is_empty(get: Get) -> None:
    answer = get(CANDLES, granularity=DAY, start="2030-01-01", end="2030-01-05")
    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize(
    "path", ["UNKNOWN-USD", "AAPL", "BTC", "btc-usd/ticker", "BTC-USD/trades", "EURUSD=X", "^GSPC"]
)
def test_what_is_no_product_gets_the_recorded_error(path: str, get: Get) -> None:
    answer = get(f"coinbase/products/{path}")
    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


@pytest.mark.parametrize(
    "params",
    [
        {"granularity": "7"},
        {"granularity": ""},
        {"granularity": "٦٠"},
        {"granularity": "0086400"},
        {"granularity": "1" * 5_000},
        {"granularity": DAY, "start": "yesterday"},
        {"granularity": DAY, "start": ""},
        {"granularity": DAY, "start": "2026-02-02", "end": "2026-02-01"},
        {"granularity": DAY, "start": "0001-01-01T00:00:00+14:00", "end": "2026-01-01"},
        {"granularity": DAY, "end": "9999-12-31T23:59:59-14:00"},
        {"granularity": DAY, "end": "0001-01-01"},
        {"granularity": DAY, "start": "99999999999999", "end": "9"},
    ],
)
def test_a_wrong_question_gets_a_message(params: dict[str, object], get: Get) -> None:
    answer = get(CANDLES, **params)
    assert answer.status_code == 400
    assert answer.json().keys() == {"message"}
