"""Recorded answers of Finnhub, every file of them; the expected values were read off the files by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fintrack_tasks.domain import Batch, Interval, from_micros
from fintrack_tasks.errors import (
    EmptyError,
    EntitlementError,
    KeyRejectedError,
    MalformedError,
    ProviderError,
    QuotaError,
    UnknownSymbolError,
)
from fintrack_tasks.fetch.providers.finnhub import PROVIDER
from tests.fetch.providers.asking import needs_samples, question, sample, sample_names

NOW = datetime(2026, 10, 3, tzinfo=UTC)

pytestmark = needs_samples


def parse(name: str, symbol: str = "AAPL", interval: Interval | None = None, status: int | None = None) -> Batch:
    return PROVIDER.parse(question(symbol, interval, NOW), sample("finnhub", name, status))


@pytest.mark.parametrize(
    ("name", "symbol", "row"),
    [
        (
            "quote-AAPL-2026-05-22.json",
            "AAPL",
            (datetime(2026, 5, 22, 20, 0, tzinfo=UTC), "308.82", "304.99", "306.12", "311.4", "305.84"),
        ),
        (
            "quote-FHFX-EUR-USD-2021-11.json",
            "EURUSD=X",
            (datetime(2021, 11, 7, 22, 0, tzinfo=UTC), "1.15894", "1.15668", "1.1554", "1.15943", "1.15497"),
        ),
        (
            "quote-RUBI-2020-03-27.json",
            "RUBI",
            (datetime(2020, 3, 27, 8, 11, 36, tzinfo=UTC), "6.06", "5.75", "5.74", "6.14", "5.62"),
        ),
    ],
)
def test_quotes(name: str, symbol: str, row: tuple[Any, ...]) -> None:
    batch = parse(name, symbol)
    found = batch.row(0)
    names = ("price", "previous_close", "open", "high", "low")
    assert (from_micros(found["timestamp"]), *(found[each] for each in names)) == row
    assert (found["volume"], batch.currency) == (None, "USD")


def test_daily_candles_of_a_stock_have_the_dates_of_new_york() -> None:
    """Stamped 04:00 UTC, New York's midnight in summer; "220" stands among decimals without one."""
    batch = parse("stock-candle-AAPL-D-2019-09.json", interval=Interval.D1)
    assert [from_micros(each) for each in batch.columns["timestamp"]] == [
        datetime(2019, 9, day, tzinfo=UTC) for day in (24, 25, 26)
    ]
    assert batch.row(2) == {
        "timestamp": 1_569_456_000_000_000,
        "open": "220",
        "high": "220.94",
        "low": "218.83",
        "close": "219.89",
        "volume": "20730608",
        "adj_close": None,
    }


def test_daily_candles_of_a_pair_have_the_date_on_which_they_end() -> None:
    """Stamped 21:00 UTC of the evening before: Tuesday the 17th to Friday the 20th."""
    batch = parse("forex-candle-EURUSD-D-2019-09.json", "EURUSD=X", Interval.D1)
    assert [from_micros(each) for each in batch.columns["timestamp"]] == [
        datetime(2019, 9, day, tzinfo=UTC) for day in (17, 18, 19, 20)
    ]
    assert batch.columns["close"] == ["1.10713", "1.10288", "1.10397", "1.10182"]
    assert batch.columns["low"] == ["1.09897", "1.1013", "1.10223", "1.10101"]
    assert (batch.currency, batch.columns["volume"][3]) == ("USD", "5138")


def test_hours_of_a_stock() -> None:
    batch = parse("stock-candle-AAPL-60-2020-07-02.json", interval=Interval.H1)
    assert [from_micros(each) for each in batch.columns["timestamp"]] == [
        datetime(2020, 7, 2, 18, 30, tzinfo=UTC),
        datetime(2020, 7, 2, 19, 30, tzinfo=UTC),
    ]
    assert batch.columns["close"] == ["366.5698", "366.19"]
    assert batch.columns["high"] == ["367.31", "367"]


@pytest.mark.parametrize(
    ("name", "interval", "error"),
    [
        ("quote-unknown-symbol-200.json", None, UnknownSymbolError),
        ("stock-candle-no-data-200.json", Interval.D1, EmptyError),
        ("stock-candle-no-data-200.json", None, MalformedError),
        ("stock-candle-AAPL-60-2020-07-02.json", Interval.D1, MalformedError),
        ("stock-candle-AAPL-D-2019-09.json", None, MalformedError),
        ("quote-AAPL-2026-05-22.json", Interval.D1, MalformedError),
        ("error-401-invalid-api-key.json", None, KeyRejectedError),
        ("error-403-no-access.json", Interval.D1, EntitlementError),
        ("error-429-limit.json", None, QuotaError),
        ("error-429-limit-plain.txt", Interval.D1, QuotaError),
        ("ws-error-too-many-symbols.json", None, MalformedError),
        ("ws-ping.json", None, MalformedError),
        ("ws-trade-AAPL-2021-04-14.json", None, MalformedError),
        ("ws-trade-AAPL-2023-03-31.json", Interval.M15, MalformedError),
        ("ws-trade-BTCUSDT-2026-01-17.json", None, MalformedError),
    ],
)
def test_what_is_no_answer(name: str, interval: Interval | None, error: type[ProviderError]) -> None:
    with pytest.raises(error):
        parse(name, interval=interval)


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [
        ("error-429-limit.json", 200, QuotaError),
        ("error-429-limit-plain.txt", 200, QuotaError),
        ("error-403-no-access.json", 401, EntitlementError),
        ("error-401-invalid-api-key.json", 200, KeyRejectedError),
    ],
)
def test_a_text_says_more_than_its_status(name: str, status: int, error: type[ProviderError]) -> None:
    with pytest.raises(error):
        parse(name, status=status)


@pytest.mark.parametrize("name", sample_names("finnhub"))
def test_every_recorded_file_gives_rows_or_a_typed_error_whatever_is_asked(name: str) -> None:
    for symbol in ("AAPL", "EURUSD=X", "BTC-USD"):
        for interval in (None, *Interval):
            try:
                batch = parse(name, symbol, interval)
            except ProviderError as error:
                assert type(error) is not ProviderError  # noqa: PT017  both outcomes are right ones
            else:
                assert name.startswith(("quote-", "stock-candle-", "forex-candle-"))
                assert len(batch) >= 1
