"""Fake API of Alpha Vantage: ``query?function=``, in JSON; limits and errors are texts at status 200.

Every function is in the plan that is played, the premium ones too. Hours are counted from the session's open, as
everywhere in this market, and there are no extended hours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from http.client import responses
from random import Random
from typing import Any, ClassVar, Final

from fintrack_tasks.domain import AssetClass
from fintrack_tasks.sandbox.fake_apis.base import Reply, json_reply
from fintrack_tasks.sandbox.listings import NEW_YORK, Listing, UnknownError
from fintrack_tasks.sandbox.market import Bar, Market
from fintrack_tasks.sandbox.prices import fx_rates, real_splits
from fintrack_tasks.sandbox.synthetic import Series
from fintrack_tasks.sandbox.trading_days import is_trading_day

__all__ = ["FAKE_API"]

_LINK: Final = "https://www.alphavantage.co"
_BAD_KEY: Final = (
    "the parameter apikey is invalid or missing. Please claim your free API key on "
    f"({_LINK}/support/#api-key). It should take less than 20 seconds."
)
_MINUTE: Final = (
    "Thank you for using Alpha Vantage! Our standard API call frequency is 5 calls per minute and 500 calls per day. "
    f"Please visit {_LINK}/premium/ if you would like to target a higher API call frequency."
)
_DAY: Final = (
    "We have detected your API key as {key} and our standard API rate limit is 25 requests per day. Please subscribe "
    f"to any of the premium plans at {_LINK}/premium/ to instantly remove all daily rate limits."
)
_SECONDS: Final = {"1min": 60, "5min": 300, "15min": 900, "30min": 1_800, "60min": 3_600}
_FIRST: Final = datetime(1999, 11, 1, tzinfo=UTC)
_COMPACT: Final = 100
_REACH: Final = {"TIME_SERIES_INTRADAY": 30, "FX_INTRADAY": 30, "CRYPTO_INTRADAY": 30, "DIGITAL_CURRENCY_DAILY": 350}
"""Days that even the full output reaches back; the other functions know no bound."""


class _InvalidError(Exception):
    pass


class AlphaVantage:
    """See :class:`fintrack_tasks.sandbox.fake_apis.base.FakeApi`."""

    name: ClassVar[str] = "alpha_vantage"
    real_quotas: ClassVar[str] = "5/m,25/d"

    def answer(self, market: Market, path: str, params: Mapping[str, str]) -> Reply:
        if path != "query":
            return self.failed(404)
        if not params.get("apikey"):
            return _text("Error Message", _BAD_KEY)
        function = params.get("function", "").upper()
        if function not in _FUNCTIONS:
            return _text("Error Message", f"This API function ({function[:40]}) does not exist.")
        try:
            return json_reply(_FUNCTIONS[function](market, function, params))
        except (_InvalidError, UnknownError):
            text = f"Invalid API call. Please retry or visit the documentation ({_LINK}/documentation/) for {function}."
            return _text("Error Message", text)

    def too_many(self, key: str, window: float) -> Reply:
        return _text("Information", _DAY.format(key=key)) if window >= 86_400 else _text("Note", _MINUTE)

    def failed(self, status: int) -> Reply:
        return _text("Error Message", responses.get(status, "Unknown Error"), status)

    def with_nulls(self, answer: Any, random: Random) -> Any:
        """A quote's price is null; of a series, all that the newest row and one more hold."""
        for name, value in answer.items():
            for price in {"05. price", "5. Exchange Rate"} & set(value):
                value[price] = None
            if name.startswith("Time Series") and value:
                for key in (next(iter(value)), random.choice(list(value))):
                    value[key] = dict.fromkeys(value[key])
        return answer

    def symbol_of(self, path: str, params: Mapping[str, str]) -> str:
        names = ("symbol", "from_symbol", "from_currency", "market", "to_symbol", "to_currency")
        return "-".join(params[name] for name in names if params.get(name))

    def key_of(self, params: Mapping[str, str], headers: Mapping[str, str]) -> str:
        return params.get("apikey", "")


FAKE_API: Final = AlphaVantage()


def _text(name: str, text: str, status: int = 200) -> Reply:
    return json_reply({name: text}, status)


def _numbered(fields: Iterable[tuple[str, Any]], digits: int = 1) -> dict[str, Any]:
    return {f"{number:0{digits}d}. {name}": value for number, (name, value) in enumerate(fields, start=1)}


def _decimal(value: float, places: int) -> str:
    """With at least so many decimals, and never fewer than the value has."""
    exact = Decimal(repr(value))
    return f"{exact:.{max(places, -int(exact.as_tuple().exponent))}f}"


# --- Who is meant


def _stock(market: Market, params: Mapping[str, str]) -> Listing:
    return _listed(market, params.get("symbol", ""), AssetClass.STOCK)


def _forex(market: Market, base: str, quote: str) -> Listing:
    return _listed(market, f"{base}{quote}=X", AssetClass.FOREX)


def _crypto(market: Market, base: str, quote: str) -> Listing:
    return _listed(market, f"{base}-{quote}", AssetClass.CRYPTO)


def _listed(market: Market, symbol: str, asset_class: AssetClass) -> Listing:
    listing = market.listing(symbol.upper())
    if listing.asset_class is not asset_class:
        raise UnknownError(symbol)
    return listing


# --- Quotes


def _global_quote(market: Market, _function: str, params: Mapping[str, str]) -> dict[str, Any]:
    try:
        listing = _stock(market, params)
    except UnknownError:
        return {"Global Quote": {}}
    tick = market.tick(listing)
    before, change = tick.previous_close, tick.price - tick.previous_close
    fields = (
        ("symbol", listing.symbol),
        ("open", _decimal(before, 4)),
        ("high", _decimal(max(tick.price, before), 4)),
        ("low", _decimal(min(tick.price, before), 4)),
        ("price", _decimal(tick.price, 4)),
        ("volume", str(tick.volume)),
        ("latest trading day", f"{_latest_day(listing, market.now())}"),
        ("previous close", _decimal(before, 4)),
        ("change", f"{change:.4f}"),
        ("change percent", f"{100 * change / before:.4f}%"),
    )
    return {"Global Quote": {**_numbered(fields, 2), "fintrack": listing.quote_statement}}


def _latest_day(listing: Listing, now: datetime) -> date:
    local = now.astimezone(NEW_YORK)
    if listing.exchange is not None:
        return listing.exchange.last(local.date())  # no date is later than New York's
    day = local.date() if local.time() >= time(9, 30) else local.date() - timedelta(days=1)
    while not is_trading_day(day):
        day -= timedelta(days=1)
    return day


def _exchange_rate(market: Market, _function: str, params: Mapping[str, str]) -> dict[str, Any]:
    base, quote = (params.get(name, "").upper() for name in ("from_currency", "to_currency"))
    # The function takes both kinds; what the central bank does not quote is taken for a coin.
    listing = (_forex if base in fx_rates() else _crypto)(market, base, quote)
    tick = market.tick(listing)
    fields = (
        ("From_Currency Code", base),
        ("From_Currency Name", base),
        ("To_Currency Code", quote),
        ("To_Currency Name", quote),
        ("Exchange Rate", _decimal(tick.price, 8)),
        ("Last Refreshed", f"{tick.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"),
        ("Time Zone", "UTC"),
        ("Bid Price", f"{tick.price * 0.9999:.8f}"),
        ("Ask Price", f"{tick.price * 1.0001:.8f}"),
    )
    return {"Realtime Currency Exchange Rate": {**_numbered(fields), "fintrack": listing.quote_statement}}


# --- Series


def _stock_series(market: Market, function: str, params: Mapping[str, str]) -> dict[str, Any]:
    listing, adjusted = _stock(market, params), function == "TIME_SERIES_DAILY_ADJUSTED"
    seconds, size = _seconds(function, params), _size(params)
    bars = _bars(market, listing, function, params)
    splits = dict(real_splits(listing.symbol))

    def fields(bar: Bar) -> list[tuple[str, str]]:
        volume = [("volume", str(bar.volume))]
        if not adjusted:
            return volume
        split = float(splits.get(bar.start.astimezone(NEW_YORK).date(), 1))
        close = bar.close if bar.adj_close is None else bar.adj_close
        events = [("dividend amount", "0.0000"), ("split coefficient", f"{split}")]
        return [("adjusted close", _decimal(close, 4)), *volume, *events]

    rows = _rows(bars, seconds, listing, 4, fields)
    length = params.get("interval", "")
    information, root = f"Intraday ({length}) open, high, low, close prices and volume", length
    if seconds == 86_400:
        daily = "Daily Time Series with Splits and Dividend Events"
        information, root = daily if adjusted else "Daily Prices (open, high, low, close) and Volumes", "Daily"
    interval = [] if seconds == 86_400 else [("Interval", length)]
    meta = [("Information", information), ("Symbol", params["symbol"]), _refreshed(rows), *interval, size]
    return _series([*meta, ("Time Zone", "US/Eastern")], f"Time Series ({root})", rows, listing, seconds)


def _forex_series(market: Market, function: str, params: Mapping[str, str]) -> dict[str, Any]:
    base, quote = (params.get(name, "").upper() for name in ("from_symbol", "to_symbol"))
    listing, seconds, size = _forex(market, base, quote), _seconds(function, params), _size(params)
    rows = _rows(_bars(market, listing, function, params), seconds, listing, 5, lambda _: [])
    length = params.get("interval", "")
    pair = [("From Symbol", base), ("To Symbol", quote)]
    if seconds == 86_400:
        meta = [("Information", "Forex Daily Prices (open, high, low, close)"), *pair, size, _refreshed(rows)]
    else:
        information = ("Information", f"FX Intraday ({length}) Time Series")
        meta = [information, *pair, _refreshed(rows), ("Interval", length), size]
    root = "Time Series FX (Daily)" if seconds == 86_400 else f"Time Series FX ({length})"
    return _series([*meta, ("Time Zone", "UTC")], root, rows, listing, seconds)


def _crypto_series(market: Market, function: str, params: Mapping[str, str]) -> dict[str, Any]:
    base, quote = (params.get(name, "").upper() for name in ("symbol", "market"))
    listing, seconds = _crypto(market, base, quote), _seconds(function, params)
    bars = _bars(market, listing, function, params)
    rows = _rows(bars, seconds, listing, 8, lambda bar: [("volume", f"{bar.volume / 100:.8f}")])
    length = params.get("interval", "")
    names = [("Digital Currency Code", base), ("Digital Currency Name", base), ("Market Code", quote)]
    names += [("Market Name", quote), _refreshed(rows)]
    if seconds == 86_400:
        meta = [("Information", "Daily Prices and Volumes for Digital Currency"), *names]
        root = "Time Series (Digital Currency Daily)"
    else:
        meta = [("Information", f"Crypto Intraday ({length}) Time Series"), *names]
        meta += [("Interval", length), _size(params)]
        root = f"Time Series Crypto ({length})"
    return _series([*meta, ("Time Zone", "UTC")], root, rows, listing, seconds)


def _series(
    meta: Iterable[tuple[str, str]], root: str, rows: dict[str, dict[str, str]], listing: Listing, seconds: int
) -> dict[str, Any]:
    statement = listing.statement if seconds >= 86_400 else listing.path_statement
    return {"Meta Data": {**_numbered(meta), "fintrack": statement}, root: rows}


def _refreshed(rows: Mapping[str, Any]) -> tuple[str, str]:
    return "Last Refreshed", next(iter(rows), "")


def _size(params: Mapping[str, str]) -> tuple[str, str]:
    return "Output Size", {"compact": "Compact", "full": "Full size"}[_output(params)]


def _output(params: Mapping[str, str]) -> str:
    size = params.get("outputsize", "compact")
    if size not in ("compact", "full") or params.get("datatype", "json") != "json":
        raise _InvalidError
    return size


def _seconds(function: str, params: Mapping[str, str]) -> int:
    if "INTRADAY" not in function:
        return 86_400
    if params.get("interval") not in _SECONDS:
        raise _InvalidError
    return _SECONDS[params["interval"]]


def _bars(market: Market, listing: Listing, function: str, params: Mapping[str, str]) -> list[Bar]:
    """The newest bars, oldest first: of a series that has ended, those before its end."""
    seconds = _seconds(function, params)
    whole = _output(params) == "full" or function == "DIGITAL_CURRENCY_DAILY"
    start, end = _span(market, listing, function, params)
    bars = market.bars(listing, seconds, start, end)
    return bars if whole else bars[-_COMPACT:]


def _span(market: Market, listing: Listing, function: str, params: Mapping[str, str]) -> tuple[datetime, datetime]:
    end = market.now() + timedelta(seconds=1)
    if not isinstance(listing.days, Series):
        end = min(end, market.session(listing, listing.days[-1].day)[1])
    if function in _REACH:
        return end - timedelta(days=_REACH[function]), end
    return (_FIRST if _output(params) == "full" else end - timedelta(days=160)), end


def _rows(
    bars: Iterable[Bar], seconds: int, listing: Listing, places: int, more: Callable[[Bar], list[tuple[str, str]]]
) -> dict[str, dict[str, str]]:
    """By wall-clock time, newest first: dates of the listing's own zone, times of New York for stocks, else of UTC."""
    zone, form = (NEW_YORK if listing.asset_class is AssetClass.STOCK else UTC), "%Y-%m-%d %H:%M:%S"
    if seconds == 86_400:
        zone, form = listing.zone, "%Y-%m-%d"
    return {
        bar.start.astimezone(zone).strftime(form): _numbered(
            [*((name, _decimal(getattr(bar, name), places)) for name in ("open", "high", "low", "close")), *more(bar)]
        )
        for bar in sorted(bars, key=lambda bar: bar.start, reverse=True)
    }


_FUNCTIONS: Final[Mapping[str, Callable[[Market, str, Mapping[str, str]], dict[str, Any]]]] = {
    "GLOBAL_QUOTE": _global_quote,
    "CURRENCY_EXCHANGE_RATE": _exchange_rate,
    "TIME_SERIES_DAILY": _stock_series,
    "TIME_SERIES_DAILY_ADJUSTED": _stock_series,
    "TIME_SERIES_INTRADAY": _stock_series,
    "FX_DAILY": _forex_series,
    "FX_INTRADAY": _forex_series,
    "DIGITAL_CURRENCY_DAILY": _crypto_series,
    "CRYPTO_INTRADAY": _crypto_series,
}
