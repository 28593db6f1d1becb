"""One symbol now: the specification's own examples, the real client against a server of this machine, then several
symbols at once.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
import redis
from structlog.testing import capture_logs

from fintrack_tasks.errors import (
    KeyRejectedError,
    MalformedError,
    MissingKeyError,
    QuotaError,
    TransientError,
    UnknownSymbolError,
    UsageError,
)
from fintrack_tasks.fetch import providers
from fintrack_tasks.fetch.market_data_fetcher import MarketDataFetcher, RoutedClient
from fintrack_tasks.fetch.providers.base import HttpRequest
from fintrack_tasks.fetch.quota.gate import Gate
from fintrack_tasks.fetch.quota.keys import KeyRing
from fintrack_tasks.fetch.quota.local_gate import LocalGate
from fintrack_tasks.fetch.quota.permits import Permit
from fintrack_tasks.sandbox import Running, running
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
def venues() -> Iterator[dict[str, str]]:
    """The variables that point the providers at a server of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Venues)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    Venues.answers, Venues.asked = {}, []
    names = ("COINBASE", "FINNHUB", "YAHOO_FINANCE")
    yield {f"{name}_BASE_URL": f"http://127.0.0.1:{server.server_port}" for name in names}
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def fetcher(venues: dict[str, str]) -> Iterator[MarketDataFetcher]:
    settings = Settings.from_mapping(venues)
    client = RoutedClient(settings, gate=LocalGate(settings, KeyRing(settings)))
    yield MarketDataFetcher(client)
    client.close()


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


# --- Within the fleet's quotas -------------------------------------------------------------------------------------

TICKER = (200, {"price": "42500.01", "volume": "9.5", "time": "2024-01-09T21:00:00Z"})
COINBASE, FINNHUB = (providers.provider(name).facts for name in ("coinbase", "finnhub"))

InFleet = Callable[..., tuple[MarketDataFetcher, Gate]]


@pytest.fixture
def in_fleet(venues: dict[str, str], make_gate: Callable[..., Gate]) -> Iterator[InFleet]:
    """A fetcher, and the gate of a worker that shares its quotas; each has a connection to Redis of its own."""
    clients: list[RoutedClient] = []

    def made(**variables: str) -> tuple[MarketDataFetcher, Gate]:
        settings = Settings.from_mapping({**venues, **variables})
        clients.append(RoutedClient(settings, gate=make_gate(variables)))
        return MarketDataFetcher(clients[-1]), make_gate(variables)

    yield made
    for client in clients:
        client.close()


@pytest.mark.integration
def test_what_a_fetcher_asks_counts_for_the_whole_fleet(in_fleet: InFleet) -> None:
    fetcher, worker = in_fleet(COINBASE_QUOTA="9/m")
    Venues.answers["/products/BTC-USD/ticker"] = TICKER
    for _ in range(2):
        assert fetcher.fetch_crypto_data("BTC-USD")["source"] == "coinbase"
    [standing] = worker.standing(COINBASE)
    assert standing.used == ((9, 60.0, 2),)


@pytest.mark.integration
def test_what_the_fleet_has_used_is_not_asked_again_and_the_next_provider_answers(in_fleet: InFleet) -> None:
    fetcher, worker = in_fleet(COINBASE_QUOTA="1/m")
    permit = worker.acquire(COINBASE, HttpRequest("/"))
    assert isinstance(permit, Permit)
    worker.release(permit, "answered")
    Venues.answers["/products/BTC-USD/ticker"] = TICKER
    Venues.answers["/v8/finance/chart/BTC-USD"] = chart("BTC-USD", 42_501.5)
    assert fetcher.fetch_crypto_data("BTC-USD")["source"] == "yahoo_finance"
    assert Venues.asked == ["/v8/finance/chart/BTC-USD"]


@pytest.mark.integration
def test_where_every_provider_is_used_up_the_caller_hears_for_how_long(in_fleet: InFleet) -> None:
    fetcher, _ = in_fleet(YAHOO_FINANCE_QUOTA="1/m")
    Venues.answers["/v8/finance/chart/AAPL"] = chart("AAPL", 187.25)
    fetcher.fetch_stock_data("AAPL")
    with pytest.raises(QuotaError) as refused:
        fetcher.fetch_stock_data("AAPL")
    assert refused.value.retry_after == pytest.approx(60, abs=2)
    assert refused.value.asked is False
    assert len(Venues.asked) == 1


@pytest.mark.integration
def test_a_key_that_a_fetcher_saw_refused_is_set_aside_for_the_fleet(in_fleet: InFleet) -> None:
    fetcher, worker = in_fleet(API_KEY_FINNHUB="a-key-of-the-test", FINTRACK_ROUTE_STOCK_QUOTE="finnhub")
    Venues.answers["/api/v1/quote"] = (401, {"error": "Invalid API key"})
    for asked in (True, False):
        with pytest.raises(KeyRejectedError) as refused:
            fetcher.fetch_stock_data("AAPL")
        assert refused.value.asked is asked
        assert "a-key-of-the-test" not in str(refused.value)
    [standing] = worker.standing(FINNHUB)
    assert standing.rejected_until is not None
    assert Venues.asked == ["/api/v1/quote"]


@pytest.mark.integration
def test_a_fetcher_finds_the_fleets_redis_by_the_settings(stack: dict[str, str], venues: dict[str, str]) -> None:
    url = f"{stack['REDIS_URL'].removesuffix('/0')}/9"  # a database of its own: its names are the fleet's
    settings = Settings.from_mapping({**venues, "REDIS_URL": url, "COINBASE_QUOTA": "9/m"})
    Venues.answers["/products/BTC-USD/ticker"] = TICKER
    with redis.Redis.from_url(url) as server:
        client = RoutedClient(settings)
        try:
            MarketDataFetcher(client).fetch_crypto_data("BTC-USD")
            [standing] = Gate(server, settings, KeyRing(settings)).standing(COINBASE)
        finally:
            client.close()
            server.flushdb()
    assert standing.used == ((9, 60.0, 1),)


def test_without_redis_the_quotas_are_held_in_the_process_and_one_warning_says_so(venues: dict[str, str]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and nobody listens: a connection is refused
        url = f"redis://:a-password@127.0.0.1:{nobody.getsockname()[1]}/0"
        settings = Settings.from_mapping({**venues, "REDIS_URL": url, "COINBASE_QUOTA": "2/m"})
        Venues.answers["/products/BTC-USD/ticker"] = TICKER
        Venues.answers["/v8/finance/chart/BTC-USD"] = chart("BTC-USD", 42_501.5)
        with capture_logs() as logs:
            client = RoutedClient(settings)
            sources = [MarketDataFetcher(client).fetch_crypto_data("BTC-USD")["source"] for _ in range(3)]
            client.close()
    assert sources == ["coinbase", "coinbase", "yahoo_finance"]  # the third within a minute is one too many
    [line] = logs
    assert (line["event"], line["log_level"]) == ("quotas_held_in_this_process_alone", "warning")
    assert "a-password" not in repr(logs)


# --- Several symbols: providers that answer for many are asked so, the rest goes on along the route


@pytest.fixture(scope="module")
def market() -> Iterator[Running]:
    with running(seed=7) as sandbox:
        yield sandbox


def market_fetcher(market: Running, **variables: str) -> MarketDataFetcher:
    settings = Settings.from_mapping({**market.environment, **variables})
    return MarketDataFetcher(RoutedClient(settings, gate=LocalGate(settings, KeyRing(settings))))


def test_each_class_takes_its_own_route(market: Running) -> None:
    found = market_fetcher(market).fetch_many(["AAPL", "BTC-USD", "^GSPC", "EURUSD=X"])
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
    found = market_fetcher(market, TWELVE_DATA_QUOTA="100/m", **keyed).fetch_many(symbols)
    assert list(found) == symbols
    assert {data["source"] for data in found.values() if isinstance(data, dict)} == {"twelve_data"}
    assert market.control.requests()["by_provider"] == {"twelve_data": 2}


def test_what_one_provider_does_not_know_is_asked_of_the_next_and_keeps_its_error_at_the_end(market: Running) -> None:
    keyed = {"API_KEY_TWELVE_DATA": "many-key-12345", "FINTRACK_ROUTE_STOCK": "twelve_data,yahoo_finance"}
    found = market_fetcher(market, TWELVE_DATA_QUOTA="100/m", **keyed).fetch_many(["AAPL", "UNKNOWN1", "MSFT"])
    assert isinstance(found["UNKNOWN1"], UnknownSymbolError)
    assert isinstance(found["AAPL"], dict)
    assert isinstance(found["MSFT"], dict)


def test_a_word_that_is_no_symbol_is_an_error_in_its_own_place(market: Running) -> None:
    market.control.reset()
    found = market_fetcher(market).fetch_many(["MSFT", "A B", "", "BTC-USD"])
    assert list(found) == ["MSFT", "A B", "", "BTC-USD"]
    assert {symbol for symbol, outcome in found.items() if isinstance(outcome, dict)} == {"MSFT", "BTC-USD"}
    for wrong in ("A B", ""):
        assert isinstance(found[wrong], UsageError)
        assert str(found[wrong]) == f"not a symbol: {wrong!r}"
    assert market.control.requests()["total"] == 2


def test_a_class_that_nobody_may_be_asked_for_leaves_the_others_theirs(market: Running) -> None:
    found = market_fetcher(market, FINTRACK_ROUTE_CRYPTO="twelve_data").fetch_many(["MSFT", "BTC-USD"])
    assert isinstance(found["MSFT"], dict)
    assert isinstance(found["BTC-USD"], MissingKeyError)


def test_nothing_asked_is_nothing_found(market: Running) -> None:
    assert market_fetcher(market).fetch_many([]) == {}
