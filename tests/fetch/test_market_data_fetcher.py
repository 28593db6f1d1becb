"""One symbol now: the specification's own examples, then the real client against a server of this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest

from fintrack_tasks.errors import MalformedError, TransientError, UnknownSymbolError, UsageError
from fintrack_tasks.fetch.keys import KeyRing
from fintrack_tasks.fetch.local_gate import LocalGate
from fintrack_tasks.fetch.market_data_fetcher import MarketDataFetcher, RoutedClient
from fintrack_tasks.settings import Settings


class TestMarketDataFetcher:
    def setup_method(self):
        self.fetcher = MarketDataFetcher()
        self.mock_api_client = Mock()
        self.fetcher.api_client = self.mock_api_client

    def test_fetch_stock_data_success(self):
        # Given
        symbol = "AAPL"
        expected_data = {"symbol": "AAPL", "price": 150.00}
        self.mock_api_client.get_stock_price.return_value = expected_data

        # When
        result = self.fetcher.fetch_stock_data(symbol)

        # Then
        assert result == expected_data
        self.mock_api_client.get_stock_price.assert_called_once_with(symbol)

    def test_fetch_stock_data_api_error(self):
        # Given
        symbol = "AAPL"
        self.mock_api_client.get_stock_price.side_effect = Exception("API Error")

        # When/Then
        with pytest.raises(Exception, match="API Error"):
            self.fetcher.fetch_stock_data(symbol)

    def test_crypto_and_forex_ask_their_own_methods(self):
        self.fetcher.fetch_crypto_data("BTC-USD")
        self.fetcher.fetch_forex_data("EUR/USD")
        self.mock_api_client.get_crypto_price.assert_called_once_with("BTC-USD")
        self.mock_api_client.get_forex_price.assert_called_once_with("EUR/USD")


class Venues(BaseHTTPRequestHandler):
    """Answers of both providers by path; what is not there is 404 as each of them says it."""

    answers: ClassVar[dict[str, tuple[int, Any]]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        type(self).asked.append(path)
        status, body = self.answers.get(path, (404, {"message": "NotFound"}))
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_args: object) -> None:
        """Nothing is printed."""


def chart(symbol: str, price: float, currency: str = "USD") -> tuple[int, Any]:
    meta = {
        "symbol": symbol,
        "currency": currency,
        "regularMarketPrice": price,
        "regularMarketTime": 1_704_834_000,
        "regularMarketVolume": 42,
    }
    return 200, {"chart": {"result": [{"meta": meta, "indicators": {"quote": [{}]}}], "error": None}}


@pytest.fixture
def fetcher() -> Iterator[MarketDataFetcher]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Venues)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    Venues.answers, Venues.asked = {}, []
    settings = Settings.from_mapping({"COINBASE_BASE_URL": url, "YAHOO_FINANCE_BASE_URL": url})
    client = RoutedClient(settings, gate=LocalGate(settings, KeyRing(settings)))
    yield MarketDataFetcher(client)
    client.close()
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_a_stock_comes_with_its_time_currency_and_source(fetcher: MarketDataFetcher) -> None:
    Venues.answers["/v8/finance/chart/AAPL"] = chart("AAPL", 187.25)
    assert fetcher.fetch_stock_data("aapl ") == {
        "symbol": "AAPL",
        "price": 187.25,
        "volume": 42.0,
        "timestamp": datetime(2024, 1, 9, 21, 0, tzinfo=UTC),
        "currency": "USD",
        "source": "yahoo_finance",
    }


def test_an_index_is_asked_like_a_stock(fetcher: MarketDataFetcher) -> None:
    Venues.answers["/v8/finance/chart/%5EGSPC"] = chart("^GSPC", 4756.5)
    assert fetcher.fetch_stock_data("^GSPC")["price"] == 4756.5


def test_a_lone_coin_is_read_in_dollars(fetcher: MarketDataFetcher) -> None:
    ticker = {"price": "42500.01", "volume": "9.5", "time": "2024-01-09T21:00:00Z"}
    Venues.answers["/products/BTC-USD/ticker"] = (200, ticker)
    data = fetcher.fetch_crypto_data("btc")
    assert (data["symbol"], data["price"], data["currency"], data["source"]) == ("BTC-USD", 42500.01, "USD", "coinbase")


def test_a_currency_pair_may_be_written_with_a_slash(fetcher: MarketDataFetcher) -> None:
    Venues.answers["/v8/finance/chart/EURUSD%3DX"] = chart("EURUSD=X", 1.0925)
    assert fetcher.fetch_forex_data("EUR/USD")["symbol"] == "EURUSD=X"


def test_the_next_provider_answers_where_the_first_does_not_know(fetcher: MarketDataFetcher) -> None:
    Venues.answers["/v8/finance/chart/XYZ-USD"] = chart("XYZ-USD", 0.5)
    assert fetcher.fetch_crypto_data("XYZ-USD")["source"] == "yahoo_finance"
    assert Venues.asked == ["/products/XYZ-USD/ticker", "/v8/finance/chart/XYZ-USD"]


def test_the_last_providers_error_is_what_is_raised(fetcher: MarketDataFetcher) -> None:
    error = {"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found"}}}
    Venues.answers["/products/XYZ-USD/ticker"] = (503, {})
    Venues.answers["/v8/finance/chart/XYZ-USD"] = (404, error)
    with pytest.raises(UnknownSymbolError):
        fetcher.fetch_crypto_data("XYZ-USD")


def test_a_route_of_one_raises_its_error(fetcher: MarketDataFetcher) -> None:
    Venues.answers["/v8/finance/chart/AAPL"] = (502, {})
    with pytest.raises(TransientError):
        fetcher.fetch_stock_data("AAPL")
    Venues.answers["/v8/finance/chart/AAPL"] = (200, [])
    with pytest.raises(MalformedError):
        fetcher.fetch_stock_data("AAPL")


@pytest.mark.parametrize("symbol", ["", "A B", "x" * 40, "../etc"])
def test_what_is_no_symbol_is_a_usage_error_and_asks_nobody(fetcher: MarketDataFetcher, symbol: str) -> None:
    with pytest.raises(UsageError):
        fetcher.fetch_stock_data(symbol)
    assert Venues.asked == []


def test_what_was_fetched_is_saved_by_what_was_given() -> None:
    saved: list[dict[str, Any]] = []
    MarketDataFetcher(save=saved.append).save_to_database({"symbol": "AAPL"})
    assert saved == [{"symbol": "AAPL"}]


def test_the_environments_client_is_made_on_first_use_and_kept() -> None:
    fetcher = MarketDataFetcher()
    assert isinstance(fetcher.api_client, RoutedClient)
    assert fetcher.api_client is fetcher.api_client
