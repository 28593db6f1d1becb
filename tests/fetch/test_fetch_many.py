"""Several symbols at once: providers that answer for many are asked so, and the rest goes on along the route."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fintrack_tasks.errors import MissingKeyError, UnknownSymbolError, UsageError
from fintrack_tasks.fetch.market_data_fetcher import MarketDataFetcher, RoutedClient
from fintrack_tasks.fetch.quota.keys import KeyRing
from fintrack_tasks.fetch.quota.local_gate import LocalGate
from fintrack_tasks.sandbox import Running, running
from fintrack_tasks.settings import Settings


@pytest.fixture(scope="module")
def market() -> Iterator[Running]:
    with running(seed=7) as sandbox:
        yield sandbox


def fetcher(market: Running, **variables: str) -> MarketDataFetcher:
    settings = Settings.from_mapping({**market.environment, **variables})
    return MarketDataFetcher(RoutedClient(settings, gate=LocalGate(settings, KeyRing(settings))))


def test_each_class_takes_its_own_route(market: Running) -> None:
    found = fetcher(market).fetch_many(["AAPL", "BTC-USD", "^GSPC", "EURUSD=X"])
    sources = {symbol: data["source"] for symbol, data in found.items() if isinstance(data, dict)}
    assert sources == {
        "AAPL": "yahoo_finance",
        "BTC-USD": "coinbase",
        "^GSPC": "yahoo_finance",
        "EURUSD=X": "yahoo_finance",
    }


def test_ten_stocks_cost_a_provider_of_batches_two_requests(market: Running) -> None:
    market.control.reset()
    symbols = [f"S{number}" for number in range(10)]
    keyed = {"API_KEY_TWELVE_DATA": "many-key-12345", "FINTRACK_ROUTE_STOCK": "twelve_data"}
    found = fetcher(market, TWELVE_DATA_QUOTA="100/m", **keyed).fetch_many(symbols)
    assert list(found) == symbols
    assert {data["source"] for data in found.values() if isinstance(data, dict)} == {"twelve_data"}
    assert market.control.requests()["by_provider"] == {"twelve_data": 2}


def test_what_one_provider_does_not_know_is_asked_of_the_next_and_keeps_its_error_at_the_end(market: Running) -> None:
    keyed = {"API_KEY_TWELVE_DATA": "many-key-12345", "FINTRACK_ROUTE_STOCK": "twelve_data,yahoo_finance"}
    found = fetcher(market, TWELVE_DATA_QUOTA="100/m", **keyed).fetch_many(["AAPL", "UNKNOWN1", "MSFT"])
    assert isinstance(found["UNKNOWN1"], UnknownSymbolError)
    assert isinstance(found["AAPL"], dict)
    assert isinstance(found["MSFT"], dict)


def test_a_word_that_is_no_symbol_is_an_error_in_its_own_place(market: Running) -> None:
    market.control.reset()
    found = fetcher(market).fetch_many(["MSFT", "A B", "", "BTC-USD"])
    assert list(found) == ["MSFT", "A B", "", "BTC-USD"]
    assert {symbol for symbol, outcome in found.items() if isinstance(outcome, dict)} == {"MSFT", "BTC-USD"}
    for wrong in ("A B", ""):
        assert isinstance(found[wrong], UsageError)
        assert str(found[wrong]) == f"not a symbol: {wrong!r}"
    assert market.control.requests()["total"] == 2


def test_a_class_that_nobody_may_be_asked_for_leaves_the_others_theirs(market: Running) -> None:
    found = fetcher(market, FINTRACK_ROUTE_CRYPTO="twelve_data").fetch_many(["MSFT", "BTC-USD"])
    assert isinstance(found["MSFT"], dict)
    assert isinstance(found["BTC-USD"], MissingKeyError)


def test_nothing_asked_is_nothing_found(market: Running) -> None:
    assert fetcher(market).fetch_many([]) == {}
