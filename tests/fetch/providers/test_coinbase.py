"""Each known trap of Coinbase's answers, in the smallest answer that has it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest

from fintrack_tasks.domain import AssetClass, Batch, Instrument, Interval, Kind, TimeRange, from_micros, to_micros
from fintrack_tasks.errors import (
    EmptyError,
    EntitlementError,
    KeyRejectedError,
    MalformedError,
    ProviderError,
    QuotaError,
    TransientError,
    UnavailableRangeError,
    UnknownSymbolError,
)
from fintrack_tasks.fetch.providers.base import Ask, HttpResponse, KeyUse, Quota
from fintrack_tasks.fetch.providers.coinbase import PROVIDER
from fintrack_tasks.pipeline.windows import windows
from tests.fetch.providers.asking import ALL_TIME, answer, question

NOW = datetime(2024, 7, 10, 15, 30, tzinfo=UTC)
DAY = 1_720_569_600  # 2024-07-10T00:00:00Z


def parse(body: Any, interval: Interval | None = Interval.D1, window: TimeRange = ALL_TIME, status: int = 200) -> Batch:
    return PROVIDER.parse(question("BTC-USD", interval, NOW, window), answer(body, status))


def ticker(**fields: Any) -> Batch:
    return parse({"price": "42500.01", "volume": "9.5", "time": "2024-07-10T15:29:59.123456Z", **fields}, None)


# --- what is asked


@pytest.mark.parametrize(("interval", "text"), [(Interval.D1, "86400"), (Interval.H1, "3600"), (Interval.M15, "900")])
def test_candles_are_asked_for_with_both_ends_inside_the_window(interval: Interval, text: str) -> None:
    """The API's end is inclusive, the window's is not: 300 bars would become 301, and be refused."""
    window = TimeRange(datetime(2024, 7, 1, tzinfo=UTC), datetime(2024, 7, 4, tzinfo=UTC))
    request = PROVIDER.request(Ask(Kind.BARS, Instrument.of("BTC-USD"), NOW, interval, window))
    assert request.path == "/products/BTC-USD/candles"
    assert request.params == {
        "granularity": text,
        "start": "2024-07-01T00:00:00Z",
        "end": "2024-07-03T23:59:59Z",
    }


def test_times_of_another_zone_are_asked_for_in_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    window = TimeRange(datetime(2024, 7, 1, 9, tzinfo=tokyo), datetime(2024, 7, 2, 9, tzinfo=tokyo))
    request = PROVIDER.request(Ask(Kind.BARS, Instrument.of("BTC-USD"), NOW, Interval.H1, window))
    assert (request.params["start"], request.params["end"]) == ("2024-07-01T00:00:00Z", "2024-07-01T23:59:59Z")


@pytest.mark.parametrize("interval", list(Interval))
@pytest.mark.parametrize("shift", [timedelta(0), timedelta(microseconds=1), timedelta(seconds=1, milliseconds=500)])
def test_a_window_of_a_page_never_asks_for_one_candle_more(interval: Interval, shift: timedelta) -> None:
    """Counted as the API counts: both ends belong to the range, whole seconds on the grid of the granularity."""
    for begins in (datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 2, 29, 23, 59, 59, 999_999, UTC)):
        window = TimeRange(begins + shift, begins + shift + PROVIDER.facts.page_size * interval.delta)
        params = PROVIDER.request(Ask(Kind.BARS, Instrument.of("BTC-USD"), NOW, interval, window)).params
        start, end = (datetime.fromisoformat(params[name]) for name in ("start", "end"))
        assert window.start <= start <= end < window.end
        step, epoch = interval.delta, datetime(1970, 1, 1, tzinfo=UTC)
        first, last = -((epoch - start) // step), (end - epoch) // step
        assert last - first + 1 == 300
        assert epoch + first * step >= window.start > epoch + (first - 1) * step


@pytest.mark.parametrize("interval", list(Interval))
def test_long_histories_are_cut_into_windows_of_300(interval: Interval) -> None:
    """By planning, from the page size that is declared here."""
    start = datetime(2023, 10, 1, tzinfo=UTC)
    expected = [to_micros(start + n * interval.delta) for n in range(1_000)]
    cut = list(windows(expected, expected, interval, PROVIDER.facts.page_size))
    assert [(window.end - window.start) // interval.delta for window in cut] == [300, 300, 300, 100]
    assert all(one.end == other.start for one, other in pairwise(cut))


def test_a_fraction_of_a_second_loses_no_candle() -> None:
    """The candle that opens within the last second of the window is asked for, the one before its start is not."""
    window = TimeRange(datetime(2024, 7, 1, 0, 0, 0, 1, UTC), datetime(2024, 7, 2, 0, 0, 0, 1, UTC))
    params = PROVIDER.request(Ask(Kind.BARS, Instrument.of("BTC-USD"), NOW, Interval.H1, window)).params
    assert (params["start"], params["end"]) == ("2024-07-01T00:00:01Z", "2024-07-02T00:00:00Z")


def test_a_quote_asks_for_the_ticker() -> None:
    request = PROVIDER.request(Ask(Kind.QUOTE, Instrument.of("ETH-BTC"), NOW))
    assert (request.path, dict(request.params)) == ("/products/ETH-BTC/ticker", {})


def test_the_published_limits_are_declared() -> None:
    assert PROVIDER.facts.quotas == (Quota(10, 1.0),)
    assert PROVIDER.facts.page_size == 300
    assert PROVIDER.facts.asset_classes == {AssetClass.CRYPTO}


def test_a_key_signs_and_is_not_needed() -> None:
    assert PROVIDER.facts.key == KeyUse(variable="API_KEY_COINBASE", signed=True, optional=True)


def test_what_is_asked_is_named_for_what_is_learnt_of_it() -> None:
    window = TimeRange(datetime(2024, 7, 1, tzinfo=UTC), datetime(2024, 7, 2, tzinfo=UTC))
    asks = (
        Ask(Kind.QUOTE, Instrument.of("BTC-USD"), NOW),
        Ask(Kind.BARS, Instrument.of("BTC-USD"), NOW, Interval.H1, window),
    )
    assert [PROVIDER.request(ask).endpoint for ask in asks] == ["ticker", "candles"]


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
    """Nothing is put in its place."""
    batch = parse([[DAY, 1, 2, 1, 2, 1], [DAY - 3 * 86_400, 1, 2, 1, 2, 1]])
    assert batch.columns["timestamp"] == [(DAY - 3 * 86_400) * 1_000_000, DAY * 1_000_000]


def test_candles_outside_the_window_are_left_out() -> None:
    """Asked for a short range, the API may answer with its neighbours."""
    window = TimeRange(datetime(2024, 7, 10, tzinfo=UTC), datetime(2024, 7, 11, tzinfo=UTC))
    rows = [[DAY + step * 86_400, 1, 2, 1, 2, 1] for step in (1, 0, -1)]
    assert parse(rows, window=window).columns["timestamp"] == [DAY * 1_000_000]
    with pytest.raises(EmptyError):
        parse(rows[:1], window=window)


def test_a_repeated_candle_stands_once() -> None:
    assert len(parse([[DAY, 1, 2, 1, 2, 1], [DAY, 1, 2, 1, 2, 1]])) == 1


def test_two_candles_of_one_time_that_differ_are_malformed() -> None:
    """One of the two would be wrong."""
    with pytest.raises(MalformedError, match="differ"):
        parse([[DAY, 1, 2, 1, 2, 1], [DAY, 1, 2, 1, 1.5, 1]])


def test_no_candles_are_empty() -> None:
    for body in ([], {"candles": []}):
        with pytest.raises(EmptyError):
            parse(body)


@pytest.mark.parametrize(
    "row",
    [
        [DAY, 1, 2, 1, 2],
        [DAY, 1, 2, 1, 2, 1, 1],
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


@pytest.mark.parametrize("missing", ["start", "low", "high", "open", "close"])
def test_a_candle_of_advanced_trade_needs_its_time_and_prices(missing: str) -> None:
    candle = {"start": str(DAY), "low": "1.10", "high": "2", "open": "1.5", "close": "1.75", "volume": "3"}
    with pytest.raises(MalformedError):
        parse({"candles": [{name: value for name, value in candle.items() if name != missing}]})
    with pytest.raises(MalformedError):
        parse({"candles": [{**candle, missing: "" if missing == "start" else "x"}]})


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
        {"time": "0001-01-01T00:00:00Z"},
        {"time": "0001-01-01T00:00:00+14:00"},
        {"product_id": "ETH-USD"},
    ],
)
def test_a_ticker_that_lacks_what_it_promises_is_malformed(fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        ticker(**fields)


def test_a_product_without_trades_is_empty() -> None:
    for body in ({"trades": [], "best_bid": "", "best_ask": ""}, {"price": "0", "time": "0001-01-01T00:00:00Z"}):
        with pytest.raises(EmptyError):
            parse(body, None)


def test_the_newest_trade_of_advanced_trade_is_the_quote() -> None:
    trades = [
        {"product_id": "BTC-USD", "price": "64000.10", "size": "0.1", "time": "2024-07-10T15:29:59.5Z"},
        {"product_id": "BTC-USD", "price": "63999.00", "size": "0.1", "time": "2024-07-10T15:29:58Z"},
    ]
    row = parse({"trades": trades, "best_bid": "64000.00", "best_ask": ""}, None).row(0)
    assert (row["price"], row["bid"], row["ask"], row["volume"]) == ("64000.10", "64000.00", None, None)
    for wrong in (["trade"], [{**trades[0], "product_id": "ETH-USD"}]):
        with pytest.raises(MalformedError):
            parse({"trades": wrong}, None)


@pytest.mark.parametrize("digits", ["123456", "123456789", "1"])
def test_fractions_of_a_second_of_any_length_are_read(digits: str) -> None:
    moment = from_micros(ticker(time=f"2024-07-10T15:29:59.{digits}Z").row(0)["timestamp"])
    assert moment == datetime(2024, 7, 10, 15, 29, 59, int(digits[:6].ljust(6, "0")), UTC)


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
        (400, "End is too old", UnavailableRangeError),
        (400, "Start is too old", UnavailableRangeError),
        (400, "granularity too small for the requested time range. Count exceeds 300", UnavailableRangeError),
        (401, "Unauthorized", KeyRejectedError),
        (403, "Forbidden", EntitlementError),
        (500, "Internal server error", TransientError),
    ],
)
def test_what_a_message_means(status: int, message: str, meaning: type[ProviderError]) -> None:
    for interval in (None, Interval.D1):
        with pytest.raises(meaning):
            parse({"message": message}, interval, status=status)


def test_a_message_of_several_lines_becomes_one() -> None:
    with pytest.raises(MalformedError) as caught:
        parse({"message": "first\nsecond\r\n" + "x" * 900}, status=400)
    assert str(caught.value).startswith("first second xxx")
    assert len(str(caught.value)) < 400


def test_a_status_that_is_not_200_is_never_rows() -> None:
    with pytest.raises(MalformedError, match="302"):
        parse([[DAY, 1, 2, 1, 2, 1]], status=302)


@pytest.mark.parametrize("told", ["0", "-1", ""])
def test_a_bid_or_ask_that_is_no_price_is_not_known(told: str) -> None:
    quoted = PROVIDER.parse(
        Ask(Kind.QUOTE, Instrument.of("BTC-USD"), datetime(2026, 11, 27, tzinfo=UTC)),
        HttpResponse(
            200, json.dumps({"price": "1", "time": "2026-11-26T20:00:00Z", "bid": told, "ask": told}).encode()
        ),
    )
    assert (quoted.columns["price"], quoted.columns["bid"], quoted.columns["ask"]) == (["1"], [None], [None])
