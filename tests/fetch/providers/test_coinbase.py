"""Each known trap of Coinbase's answers, in the smallest answer that has it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from fintrack_tasks.domain import AssetClass, Batch, Instrument, Interval, Kind, Window, from_micros
from fintrack_tasks.errors import (
    EmptyError,
    EntitlementError,
    KeyRejectedError,
    MalformedError,
    ProviderError,
    QuotaError,
    TransientError,
    UnknownSymbolError,
)
from fintrack_tasks.fetch.providers.base import Ask, HttpResponse, Quota
from fintrack_tasks.fetch.providers.coinbase import PROVIDER

NOW = datetime(2024, 7, 10, 15, 30, tzinfo=UTC)
DAY = 1_720_569_600  # 2024-07-10T00:00:00Z
ALL_TIME = Window(datetime(1970, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC))


def parse(body: Any, interval: Interval | None = Interval.D1, window: Window = ALL_TIME, status: int = 200) -> Batch:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    instrument = Instrument.of("BTC-USD")
    ask = Ask(Kind.BARS, instrument, NOW, interval, window) if interval else Ask(Kind.QUOTE, instrument, NOW)
    return PROVIDER.parse(ask, HttpResponse(status, raw))


def ticker(**fields: Any) -> Batch:
    return parse({"price": "42500.01", "volume": "9.5", "time": "2024-07-10T15:29:59.123456Z", **fields}, None)


# --- what is asked


@pytest.mark.parametrize(("interval", "text"), [(Interval.D1, "86400"), (Interval.H1, "3600"), (Interval.M15, "900")])
def test_candles_are_asked_for_with_both_ends_inside_the_window(interval: Interval, text: str) -> None:
    """The API's end is inclusive, the window's is not: 300 bars would become 301, and be refused."""
    window = Window(datetime(2024, 7, 1, tzinfo=UTC), datetime(2024, 7, 4, tzinfo=UTC))
    request = PROVIDER.request(Ask(Kind.BARS, Instrument.of("BTC-USD"), NOW, interval, window))
    assert request.path == "/products/BTC-USD/candles"
    assert request.params == {
        "granularity": text,
        "start": "2024-07-01T00:00:00Z",
        "end": "2024-07-03T23:59:59Z",
    }


def test_times_of_another_zone_are_asked_for_in_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    window = Window(datetime(2024, 7, 1, 9, tzinfo=tokyo), datetime(2024, 7, 2, 9, tzinfo=tokyo))
    request = PROVIDER.request(Ask(Kind.BARS, Instrument.of("BTC-USD"), NOW, Interval.H1, window))
    assert (request.params["start"], request.params["end"]) == ("2024-07-01T00:00:00Z", "2024-07-01T23:59:59Z")


def test_a_quote_asks_for_the_ticker() -> None:
    request = PROVIDER.request(Ask(Kind.QUOTE, Instrument.of("ETH-BTC"), NOW))
    assert (request.path, dict(request.params)) == ("/products/ETH-BTC/ticker", {})


def test_the_published_limits_are_declared() -> None:
    assert PROVIDER.facts.quotas == (Quota(10, 1.0),)
    assert PROVIDER.facts.page_size == 300
    assert PROVIDER.facts.asset_classes == {AssetClass.CRYPTO}


# --- candles


def test_a_candle_is_time_low_high_open_close_volume_newest_first() -> None:
    batch = parse([[DAY, 3, 6, 4, 5, 1.5], [DAY - 86_400, 1, 4, 2, 3, 2.5]])
    assert batch.columns == {
        "timestamp": [(DAY - 86_400) * 1_000_000, DAY * 1_000_000],
        "open": ["2", "4"],
        "high": ["4", "6"],
        "low": ["1", "3"],
        "close": ["3", "5"],
        "volume": ["2.5", "1.5"],
        "adj_close": [None, None],
    }
    assert batch.currency == "USD"


def test_the_noise_of_a_volume_is_kept() -> None:
    """It is what the provider said; rounding it is nobody's right here."""
    batch = parse(b"[[1720569600, 1, 2, 1.5, 1.75, 4.727521520000001]]")
    assert batch.columns["volume"] == ["4.727521520000001"]


def test_an_interval_without_trades_has_no_candle() -> None:
    assert len(parse([[DAY, 1, 2, 1, 2, 1], [DAY - 3 * 86_400, 1, 2, 1, 2, 1]])) == 2


def test_candles_outside_the_window_are_left_out() -> None:
    """Asked for a short range, the API may answer with its neighbours."""
    window = Window(datetime(2024, 7, 10, tzinfo=UTC), datetime(2024, 7, 11, tzinfo=UTC))
    rows = [[DAY + step * 86_400, 1, 2, 1, 2, 1] for step in (1, 0, -1)]
    assert parse(rows, window=window).columns["timestamp"] == [DAY * 1_000_000]
    with pytest.raises(EmptyError):
        parse(rows[:1], window=window)


def test_a_repeated_candle_stands_once() -> None:
    assert len(parse([[DAY, 1, 2, 1, 2, 1], [DAY, 1, 2, 1, 2, 1]])) == 1


def test_no_candles_are_empty() -> None:
    for body in ([], {"candles": []}):
        with pytest.raises(EmptyError):
            parse(body)


@pytest.mark.parametrize(
    "row",
    [
        [DAY, 1, 2, 1, 2],
        [DAY, 1, 2, 1, 2, 1, 1],
        [DAY, 1, 2, None, 2, 1],
        [DAY, 1, 2, "", 2, 1],
        [DAY, 1, 2, "one", 2, 1],
        [DAY, 1, 2, True, 2, 1],
        [DAY * 1000, 1, 2, 1, 2, 1],
        [DAY + 60, 1, 2, 1, 2, 1],
        [float(DAY), 1, 2, 1, 2, 1],
        [None, 1, 2, 1, 2, 1],
        ["--5", 1, 2, 1, 2, 1],
        "row",
        {"time": DAY},
        None,
    ],
)
def test_a_row_that_is_no_candle_is_malformed(row: object) -> None:
    with pytest.raises(MalformedError):
        parse([[DAY - 86_400, 1, 2, 1, 2, 1], row])


def test_a_candle_may_lack_its_volume() -> None:
    assert parse([[DAY, 1, 2, 1, 2, None]]).columns["volume"] == [None]


def test_advanced_trade_says_everything_in_text() -> None:
    candle = {"start": str(DAY), "low": "1.10", "high": "2", "open": "1.5", "close": "1.75", "volume": ""}
    row = parse({"candles": [candle]}).row(0)
    assert (row["timestamp"], row["low"], row["volume"]) == (DAY * 1_000_000, "1.10", None)


# --- tickers


def test_a_tickers_text_and_microseconds_are_kept() -> None:
    row = ticker(bid="42500.00", ask="42500.020").row(0)
    assert from_micros(row["timestamp"]) == datetime(2024, 7, 10, 15, 29, 59, 123456, tzinfo=UTC)
    assert (row["price"], row["bid"], row["ask"]) == ("42500.01", "42500.00", "42500.020")


def test_empty_text_means_missing() -> None:
    row = ticker(bid="", ask="", volume="").row(0)
    assert (row["bid"], row["ask"], row["volume"]) == (None, None, None)


@pytest.mark.parametrize(
    "fields",
    [
        {"price": ""},
        {"price": None},
        {"price": "NaN"},
        {"price": "Infinity"},
        {"price": {}},
        {"time": None},
        {"time": ""},
        {"time": "now"},
        {"time": 1_720_569_600},
        {"time": "2024-07-10T15:29:59"},
        {"product_id": "ETH-USD"},
    ],
)
def test_a_ticker_that_lacks_what_it_promises_is_malformed(fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        ticker(**fields)


def test_a_product_without_trades_is_empty() -> None:
    with pytest.raises(EmptyError):
        parse({"trades": [], "best_bid": "", "best_ask": ""}, None)


# --- errors


@pytest.mark.parametrize(
    ("status", "message", "meaning"),
    [
        (404, "NotFound", UnknownSymbolError),
        (200, "NotFound", UnknownSymbolError),
        (404, "Not allowed for delisted products", UnknownSymbolError),
        (429, "Public rate limit exceeded", QuotaError),
        (200, "Public rate limit exceeded", QuotaError),
        (400, "Slow rate limit exceeded", QuotaError),
        (400, "End is too old", EmptyError),
        (400, "granularity too small for the requested time range", MalformedError),
        (401, "Unauthorized", KeyRejectedError),
        (403, "Forbidden", EntitlementError),
        (500, "Internal server error", TransientError),
    ],
)
def test_what_a_message_means(status: int, message: str, meaning: type[ProviderError]) -> None:
    for interval in (None, Interval.D1):
        with pytest.raises(meaning):
            parse({"message": message}, interval, status=status)


def test_a_status_that_is_not_200_is_never_rows() -> None:
    with pytest.raises(MalformedError, match="302"):
        parse([[DAY, 1, 2, 1, 2, 1]], status=302)
