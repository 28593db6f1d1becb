"""Recorded answers of Coinbase, every file of them; the expected values were read off the files by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from fintrack_tasks.domain import AssetClass, Batch, Instrument, Interval, Kind, TimeRange, from_micros
from fintrack_tasks.errors import (
    EmptyError,
    MalformedError,
    ProviderError,
    QuotaError,
    UnavailableRangeError,
    UnknownSymbolError,
)
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import Ask, HttpResponse
from tests.fetch.providers.asking import ALL_TIME, needs_samples, question, sample, sample_names

NOW = datetime(2026, 10, 3, tzinfo=UTC)

pytestmark = needs_samples


def coinbase(
    name: str, symbol: str = "BTC-USD", interval: Interval | None = None, window: TimeRange = ALL_TIME
) -> Batch:
    ask = question(symbol, interval, NOW, window, AssetClass.CRYPTO)
    return provider("coinbase").parse(ask, sample("coinbase", name))


def opened(batch: Batch, row: int) -> date:
    """The date of a daily bar, which must stand at midnight UTC."""
    moment = from_micros(batch.columns["timestamp"][row])
    assert moment.time() == datetime.min.time()
    return moment.date()


def ohlc(batch: Batch, row: int) -> tuple[Any, ...]:
    return tuple(batch.columns[name][row] for name in ("open", "high", "low", "close"))


@pytest.mark.parametrize("name", sample_names("coinbase"))
def test_every_recorded_coinbase_file_gives_rows_or_a_typed_error(name: str) -> None:
    for interval in (None, *Interval):
        try:
            batch = coinbase(name, interval=interval)
        except ProviderError as error:
            assert type(error) is not ProviderError  # noqa: PT017  both outcomes are right ones
        else:
            assert name.startswith("advanced-" if "advanced" in name else ("ticker", "candles"))
            assert len(batch) >= 1


def test_candles_come_oldest_first_with_low_and_high_before_open() -> None:
    """A row is [time, low, high, open, close, volume], newest first."""
    batch = coinbase("candles-BTC-EUR-1d-2020-page1.json", "BTC-EUR", Interval.D1)
    assert batch.currency == "EUR"
    assert [opened(batch, row) for row in range(2)] == [date(2020, 1, 1), date(2020, 10, 16)]
    assert ohlc(batch, 0) == ("6400.02", "6471.44", "6388.91", "6410.22")
    assert ohlc(batch, 1) == ("9828.84", "9860", "9588", "9672.41")
    assert batch.columns["volume"] == ["491.94797816", "1068.08144123"]


def test_the_first_days_of_2021() -> None:
    batch = coinbase("candles-BTC-EUR-1d-2021-01.json", "BTC-EUR", Interval.D1)
    assert opened(batch, len(batch) - 1) == date(2021, 1, 7)
    assert ohlc(batch, len(batch) - 1) == ("29818.73", "32900", "29516.98", "32120.19")


def test_candles_of_minutes_are_refused_where_others_were_asked_for() -> None:
    for interval in Interval:
        with pytest.raises(MalformedError):
            coinbase("candles-BTC-60s-2018-02-01.json", interval=interval)


def test_the_float_noise_of_volumes_is_kept_as_text() -> None:
    """Of the recorded minutes, the row 00:07 as the day's candle."""
    raw = sample("coinbase", "candles-BTC-60s-2018-02-01.json").body
    assert b"[1517443560,10156.99,10157,10156.99,10156.99,2.2357688599999963]" in raw
    body = b"[[1517443200,10156.99,10157,10156.99,10156.99,2.2357688599999963]]"
    ask = Ask(Kind.BARS, Instrument.of("BTC-USD"), NOW, Interval.D1, ALL_TIME)
    assert provider("coinbase").parse(ask, HttpResponse(200, body)).columns["volume"] == ["2.2357688599999963"]


def test_candles_of_advanced_trade_are_text() -> None:
    batch = coinbase("advanced-candles-BTC-USD-1h-2024-04.json", interval=Interval.H1)
    assert batch.columns["timestamp"] == [1_712_188_800_000_000, 1_712_192_400_000_000]
    assert ohlc(batch, 1) == ("66312.4", "66331.99", "66055.14", "66181.6")
    assert batch.columns["volume"] == ["358.74851052", "355.82896243"]


@pytest.mark.parametrize(
    ("name", "symbol", "row"),
    [
        (
            "ticker-BTC-USD-2015-04-08.json",
            "BTC-USD",
            (datetime(2015, 4, 8, 20, 49, 6, 506997, UTC), "246.28000000", "4661.70407704", "637", "637.11"),
        ),
        (
            "ticker-BTC-USDT-2024-03-13.json",
            "BTC-USDT",
            (datetime(2024, 3, 13, 11, 10, 41, 270099, UTC), "73367.8", "1207.50668151", "73360.34", "73369.19"),
        ),
        (
            "advanced-ticker-BTC-USD-2026-04-07.json",
            "BTC-USD",
            (datetime(2026, 4, 7, 0, 28, 58, 544778, UTC), "68923.67", None, "68923.66", "68923.67"),
        ),
    ],
)
def test_tickers(name: str, symbol: str, row: tuple[Any, ...]) -> None:
    batch = coinbase(name, symbol)
    found = batch.row(0)
    assert (from_micros(found["timestamp"]), *(found[key] for key in ("price", "volume", "bid", "ask"))) == row
    assert batch.currency == symbol.split("-")[1]


@pytest.mark.parametrize(
    ("name", "interval", "error"),
    [
        ("candles-empty-200.json", Interval.D1, EmptyError),
        ("error-400-too-many-candles.json", Interval.M15, UnavailableRangeError),
        ("error-400-end-too-old.json", Interval.D1, UnavailableRangeError),
        ("error-404-notfound.json", None, UnknownSymbolError),
        ("error-429-rate-limit.json", None, QuotaError),
        ("advanced-ws-ticker-ETH-USDT-sample.json", None, MalformedError),
        ("ws-subscriptions-2021-04-17.json", None, MalformedError),
        ("ws-ticker-2021-04-17-part1.jsonl", None, MalformedError),
        ("ws-ticker-2021-04-17-part1.jsonl", Interval.D1, MalformedError),
        ("products-2021-04-17.json", None, MalformedError),
        ("products-2021-08-trimmed.json", Interval.D1, MalformedError),
        ("stats-2015.json", None, MalformedError),
        ("v2-exchange-rates-BTC.json", None, MalformedError),
        ("v2-spot-BTC-USD.json", None, MalformedError),
        ("advanced-ticker-BTC-USD-2026-04-07.json", Interval.D1, MalformedError),
        ("ticker-BTC-USD-2015-04-08.json", Interval.D1, MalformedError),
        ("candles-BTC-EUR-1d-2021-01.json", None, MalformedError),
    ],
)
def test_what_is_no_answer_of_coinbase(name: str, interval: Interval | None, error: type[ProviderError]) -> None:
    with pytest.raises(error):
        coinbase(name, interval=interval)


def test_the_rate_limit_text_is_a_quota_under_a_status_of_200_too() -> None:
    body = sample("coinbase", "error-429-rate-limit.json").body
    with pytest.raises(QuotaError):
        provider("coinbase").parse(Ask(Kind.QUOTE, Instrument.of("BTC-USD"), NOW), HttpResponse(200, body))


def test_one_message_of_the_websocket_is_no_ticker_of_another_product() -> None:
    line = sample("coinbase", "ws-ticker-2021-04-17-part1.jsonl").body.splitlines()[0]
    with pytest.raises(MalformedError, match="BAND-GBP"):
        provider("coinbase").parse(Ask(Kind.QUOTE, Instrument.of("BTC-USD"), NOW), HttpResponse(200, line))
