"""Recorded answers of Twelve Data, every file of them; the expected values were read off the files by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fintrack_tasks.domain import Batch, Interval, from_micros
from fintrack_tasks.errors import KeyRejectedError, MalformedError, ProviderError, QuotaError, UnknownSymbolError
from fintrack_tasks.fetch.providers.twelve_data import PROVIDER
from tests.fetch.providers.asking import answer, needs_samples, question, sample, sample_names

NOW = datetime(2026, 10, 3, 12, 0, 20, tzinfo=UTC)

pytestmark = needs_samples


def parse(name: str, symbol: str = "AAPL", interval: Interval | None = None, status: int | None = None) -> Batch:
    return PROVIDER.parse(question(symbol, interval, NOW), sample("twelvedata", name, status))


def many(name: str, *symbols: str, interval: Interval | None = None) -> list[Any]:
    return PROVIDER.parse_many([question(symbol, interval, NOW) for symbol in symbols], sample("twelvedata", name))


def test_the_rate_of_a_pair() -> None:
    """A number among the texts of other answers; a conversion of 100 euros tells of the same rate."""
    for name in ("exchange-rate-EURUSD-2025-08.json", "currency-conversion-EURUSD-2025-08.json"):
        batch = parse(name, "EURUSD=X")
        assert batch.row(0) == {"timestamp": 1_754_555_760_000_000, "price": "1.16844", "volume": None}
        assert from_micros(batch.columns["timestamp"][0]) == datetime(2025, 8, 7, 8, 36, tzinfo=UTC)
        assert batch.currency == "USD"


def test_two_quotes_of_a_batch() -> None:
    """Prices keep their zeros; 20:00 UTC is 15:00 in New York in November."""
    apple, microsoft = many("batch-quote-AAPL-MSFT.json", "AAPL", "MSFT")
    assert apple.row(0) == {
        "timestamp": 1_732_305_600_000_000,
        "price": "229.87000",
        "volume": "35462000",
        "previous_close": "228.52000",
        "open": "228.84000",
        "high": "230.50000",
        "low": "227.25000",
    }
    assert (microsoft.symbol, microsoft.columns["price"], microsoft.currency) == ("MSFT", ["414.17000"], "USD")


def test_two_series_of_a_batch() -> None:
    microsoft, apple = many("batch-time-series-AAPL-MSFT.json", "MSFT", "AAPL", interval=Interval.D1)
    assert [from_micros(each) for each in apple.columns["timestamp"]] == [datetime(2024, 11, 22, tzinfo=UTC)]
    assert (apple.columns["open"], apple.columns["volume"]) == (["228.84000"], ["35462000"])
    assert (microsoft.columns["low"], microsoft.columns["close"]) == (["411.36000"], ["414.17000"])
    assert apple.meta == {"zone": "America/New_York", "exchange": "NASDAQ", "adjusted_to": "2026-10-03"}


def test_a_batch_with_one_bad_entry_keeps_the_good_one() -> None:
    good, bad = many("batch-partial-error-200.json", "AAPL", "INVALID", interval=Interval.D1)
    assert good.columns["close"] == ["229.87000"]
    assert isinstance(bad, UnknownSymbolError)


def test_a_batch_is_no_answer_to_one_question() -> None:
    with pytest.raises(MalformedError):
        parse("batch-time-series-AAPL-MSFT.json", interval=Interval.D1)


def test_minutes_are_not_taken_for_what_was_asked() -> None:
    for name in ("time-series-AAPL-1min-2021-09-16.json", "time-series-AAPL-1min-2023-08-24.json"):
        for interval in Interval:
            with pytest.raises(MalformedError, match="1min"):
                parse(name, interval=interval)


def test_a_recorded_local_time_becomes_utc() -> None:
    """Of the recorded minutes those that open a quarter, as if they were quarters: 11:00 in New York's summer."""
    body = json.loads(sample("twelvedata", "time-series-AAPL-1min-2023-08-24.json").body)
    body["meta"]["interval"] = "15min"
    body["values"] = [value for value in body["values"] if value["datetime"].endswith(("00:00", "15:00", "45:00"))]
    batch = PROVIDER.parse(question("AAPL", Interval.M15, NOW), answer(body))
    newest = batch.row(len(batch) - 1)
    assert from_micros(newest["timestamp"]) == datetime(2023, 8, 24, 15, 0, tzinfo=UTC)
    assert (newest["open"], newest["close"], newest["volume"]) == ("177.91000", "177.75999", "170797")


def test_a_cross_rate_never_becomes_bars() -> None:
    """In most of its rows the high lies below the open, or the low above the close."""
    name = "time-series-cross-JPYUSD-BTCUSD-2025-08-07.json"
    assert b'"open":"0.000000059152179","high":"0.000000059151778"' in sample("twelvedata", name).body
    for interval in Interval:
        for symbol in ("BTC-USD", "JPYUSD=X"):
            with pytest.raises(MalformedError):
                parse(name, symbol, interval)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("error-401-apikey.json", KeyRejectedError),
        ("error-404-symbol.json", UnknownSymbolError),
        ("error-429-minute-credits.json", QuotaError),
    ],
)
@pytest.mark.parametrize("within", [None, 200])
def test_what_the_errors_mean_within_a_success_too(name: str, error: type[ProviderError], within: int | None) -> None:
    for interval in (None, Interval.D1):
        with pytest.raises(error) as caught:
            parse(name, interval=interval, status=within)
        assert caught.value.retry_after == (40.0 if error is QuotaError else None)
        assert "http" not in str(caught.value)


def test_a_price_without_its_time_is_no_quote() -> None:
    with pytest.raises(MalformedError):
        parse("price-VXX-2021-11-05.json", "VXX")


@pytest.mark.parametrize("name", sample_names("twelvedata"))
def test_every_recorded_file_gives_rows_or_a_typed_error_whatever_is_asked(name: str) -> None:
    for symbol in ("AAPL", "EURUSD=X", "BTC-USD", "^GSPC"):
        for interval in (None, *Interval):
            try:
                batch = parse(name, symbol, interval)
            except ProviderError as error:
                assert type(error) is not ProviderError  # noqa: PT017  both outcomes are right ones
            else:
                assert (symbol, interval) == ("EURUSD=X", None)
                assert batch.columns["price"] == ["1.16844"]
