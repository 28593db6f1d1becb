"""``MarketDataFetcher``: quotes of symbols now, in this process and without Celery, over the same routes and quotas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import redis
import structlog

from fintrack_tasks.domain import AssetClass, Batch, Budget, Instrument, Kind, from_micros
from fintrack_tasks.errors import FinTrackError, ProviderError, QuotaError, UsageError
from fintrack_tasks.fetch import providers, route
from fintrack_tasks.fetch.http.client import HttpClient
from fintrack_tasks.fetch.interpret import interpret
from fintrack_tasks.fetch.providers.base import Ask, Batching, HttpRequest, HttpResponse
from fintrack_tasks.fetch.quota.gate import Gate
from fintrack_tasks.fetch.quota.keys import KeyRing
from fintrack_tasks.fetch.quota.local_gate import LocalGate
from fintrack_tasks.fetch.quota.permits import Wait
from fintrack_tasks.fetch.request import ask_provider
from fintrack_tasks.settings import Settings, load_settings, redact_url

__all__ = ["ApiClient", "MarketDataFetcher", "RoutedClient"]

log = structlog.get_logger("fintrack.fetcher")

Data = dict[str, Any]
T = TypeVar("T")


class ApiClient(Protocol):
    """The interface of :attr:`MarketDataFetcher.api_client`, for a replacement."""

    def get_stock_price(self, symbol: str) -> Data: ...

    def get_crypto_price(self, symbol: str) -> Data: ...

    def get_forex_price(self, symbol: str) -> Data: ...

    def get_prices(self, symbols: Sequence[str]) -> dict[str, Data | FinTrackError]: ...


class RoutedClient:
    """Asks the providers of a symbol's route in turn until one answers, within the quotas of the whole fleet.

    Where Redis does not answer, the quotas are kept in this process alone, and a warning is logged once.

    :param http: by default a client of its own, with the settings' addresses and time-out.
    :param gate: the rate limiter; by default the one in the settings' Redis.
    """

    def __init__(
        self, settings: Settings, http: HttpClient | None = None, gate: Gate | LocalGate | None = None
    ) -> None:
        self._settings = settings
        self._http = http or HttpClient(settings.provider_base_urls, timeout=settings.fintrack_http_timeout_seconds)
        self._redis: redis.Redis | None = None
        self._gate: Gate | LocalGate = gate or self._open_gate()

    def _open_gate(self) -> Gate | LocalGate:
        keys, url = KeyRing(self._settings), self._settings.redis_url.get_secret_value()
        tls = self._settings.redis_tls or {}
        client = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=2, **tls)
        try:
            client.ping()
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
            client.close()
            log.warning("quotas_held_in_this_process_alone", redis=redact_url(url))
            return LocalGate(self._settings, keys)
        self._redis = client
        return Gate(client, self._settings, keys)

    def get_stock_price(self, symbol: str) -> Data:
        """The quote of a stock, an index or a future."""
        known = AssetClass.by_form(symbol.strip().upper())
        listed = known in (AssetClass.INDEX, AssetClass.COMMODITY)
        return self._price(symbol, known if listed else AssetClass.STOCK)

    def get_crypto_price(self, symbol: str) -> Data:
        """The quote of a pair such as ``BTC-USD``; a lone ``BTC`` is read as ``BTC-USD``."""
        return self._price(symbol if {"-", "/"} & set(symbol) else f"{symbol}-USD", AssetClass.CRYPTO)

    def get_forex_price(self, symbol: str) -> Data:
        """The quote of a pair such as ``EUR/USD`` or ``EURUSD=X``."""
        return self._price(symbol, AssetClass.FOREX)

    def _price(self, symbol: str, asset_class: AssetClass) -> Data:
        try:
            instrument = Instrument.of(symbol, asset_class)
        except ValueError as error:
            raise UsageError(str(error)) from None
        names = route.route(instrument, Kind.QUOTE, None, self._settings)
        for name in names:
            ask = Ask(Kind.QUOTE, instrument, datetime.now(tz=UTC))
            try:
                return _as_data(self._asked(name, ask))
            except ProviderError:
                # Whatever it means for this provider, an answer without a price too: the next one may have a price.
                if name == names[-1]:
                    raise
        raise AssertionError("a route has at least one provider")

    def get_prices(self, symbols: Sequence[str]) -> dict[str, Data | FinTrackError]:
        """The quote of each symbol, or why there is none. Providers that answer for many at once are asked so."""
        found: dict[str, Data | FinTrackError] = {}
        chosen: dict[AssetClass, dict[str, Instrument]] = {}
        for symbol in symbols:
            try:
                instrument = Instrument.of(symbol)
            except (ValueError, AttributeError):  # also for what is no text
                found[symbol] = UsageError(f"not a symbol: {symbol!r:.60}")
            else:
                chosen.setdefault(instrument.asset_class, {})[symbol] = instrument
        for instruments in chosen.values():
            self._prices(instruments, found)
        return {symbol: found[symbol] for symbol in symbols}

    def _prices(self, instruments: Mapping[str, Instrument], found: dict[str, Data | FinTrackError]) -> None:
        """Quotes of instruments of one asset class: what one provider does not answer is asked of the route's next one.

        An error that is no provider's (no key, Redis away) ends the class and becomes the result of what is not found.
        """
        try:
            self._along_the_route(instruments, found)
        except FinTrackError as error:
            found |= {symbol: error for symbol in instruments if not isinstance(found.get(symbol), dict)}

    def _along_the_route(self, instruments: Mapping[str, Instrument], found: dict[str, Data | FinTrackError]) -> None:
        for name in route.route(next(iter(instruments.values())), Kind.QUOTE, None, self._settings):
            left = {s: i for s, i in instruments.items() if not isinstance(found.get(s), dict)}
            asks = [Ask(Kind.QUOTE, instrument, datetime.now(tz=UTC)) for instrument in left.values()]
            for symbol, outcome in zip(left, self._outcomes(name, asks), strict=True):
                found[symbol] = _as_data(outcome) if isinstance(outcome, Batch) else outcome

    def _outcomes(self, name: str, asks: Sequence[Ask]) -> list[Batch | ProviderError]:
        provider, found = providers.provider(name), list[Batch | ProviderError]()
        most = provider.facts.symbols_per_request if isinstance(provider, Batching) else 1
        for start in range(0, len(asks), most):
            some = asks[start : start + most]
            try:
                found += self._asked_many(name, provider, some) if len(some) > 1 else [self._asked(name, some[0])]
            except ProviderError as error:
                found += [error] * len(some)
        return found

    def _asked_many(self, name: str, provider: Any, asks: Sequence[Ask]) -> list[Batch | ProviderError]:
        parsed: list[Batch | ProviderError] = self._ask(
            name, provider.request_many(asks), lambda response: _marked(provider.parse_many(asks, response), response)
        )
        return parsed

    def _asked(self, name: str, ask: Ask) -> Batch:
        provider = providers.provider(name)
        return self._ask(
            name, provider.request(ask), lambda response: _marked([provider.parse(ask, response)], response)
        )[0]

    def _ask(self, name: str, request: HttpRequest, parse: Callable[[HttpResponse], T]) -> T:
        """Ask and interpret; an error that concerns quota, plan or key is recorded at the gate."""
        facts = providers.provider(name).facts
        answer = ask_provider(facts, request, gate=self._gate, http=self._http)
        if isinstance(answer, Wait):
            self._gate.cancel(facts, request, Budget.REAL_TIME, answer.reservation)
            raise QuotaError(f"{name}: the next free slot is {answer.seconds:.1f} s away", asked=False)
        try:
            return interpret(name, lambda: parse(answer.response))
        except ProviderError as error:
            self._gate.learn(answer.permit, error)
            raise

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        if self._redis is not None:
            self._redis.close()


def _marked(outcomes: Sequence[T], response: HttpResponse) -> list[T]:
    """The batches among them, marked as ``simulated`` where the local market answered."""
    if not response.simulated:
        return list(outcomes)
    return [
        replace(each, meta={**each.meta, "simulated": True}) if isinstance(each, Batch) else each for each in outcomes
    ]


def _as_data(batch: Batch) -> Data:
    row = batch.row(0)
    return {
        **({"simulated": True} if batch.meta.get("simulated") else {}),
        "symbol": batch.symbol,
        "price": float(row["price"]),
        "volume": float(row["volume"]) if row.get("volume") is not None else None,
        "timestamp": from_micros(row["timestamp"]),
        "currency": batch.currency,
        "source": batch.source,
    }


class MarketDataFetcher:
    """Fetch symbols now, in this process, over the same routes as the tasks.

    :param api_client: the client to ask; by default a :class:`RoutedClient` with the environment's settings.
    :param save: what :meth:`save_to_database` calls; by default the pipeline's own checks and load.
    """

    def __init__(self, api_client: ApiClient | None = None, save: Callable[[Data], None] | None = None) -> None:
        self._api_client = api_client
        self._save = save

    @property
    def api_client(self) -> ApiClient:
        """The client to ask; made from the environment's settings on first use."""
        if self._api_client is None:
            self._api_client = RoutedClient(load_settings())
        return self._api_client

    @api_client.setter
    def api_client(self, client: ApiClient) -> None:
        self._api_client = client

    def fetch_stock_data(self, symbol: str) -> Data:
        """The quote of a stock or index: ``symbol price volume timestamp currency source``, the time aware UTC; with
        ``simulated`` where the local market answered.

        :raises fintrack_tasks.errors.ProviderError: when no provider of the route answers.
        """
        return self.api_client.get_stock_price(symbol)

    def fetch_crypto_data(self, symbol: str) -> Data:
        """The same of a crypto pair such as ``BTC-USD``."""
        return self.api_client.get_crypto_price(symbol)

    def fetch_forex_data(self, symbol: str) -> Data:
        """The same of a currency pair such as ``EUR/USD``."""
        return self.api_client.get_forex_price(symbol)

    def fetch_many(self, symbols: Sequence[str]) -> dict[str, Data | FinTrackError]:
        """The quotes of several symbols, each of its form's asset class; where there is none, the error in its place.

        Text that is no symbol gives a :class:`~fintrack_tasks.errors.UsageError`; the other symbols are not affected.
        """
        return self.api_client.get_prices(symbols)

    def save_to_database(self, data: Data) -> None:
        """Check and store what one of the fetches returned: it is then in the view ``market_data``.

        :raises UsageError: when a value is missing or a check rejects it.
        """
        if self._save is not None:
            self._save(data)
            return
        from fintrack_tasks.pipeline.save_quote import save_quote  # noqa: PLC0415  storing, when asked to alone

        save_quote(data, settings=load_settings(), now=datetime.now(tz=UTC))
