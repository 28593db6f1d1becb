"""Finnhub: quotes of US stocks, candles of currencies and crypto, what a company is. Docs: https://finnhub.io/docs/api.

Candles of stocks are premium, as is every exchange outside the US: the plan behind the key decides, by endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, ClassVar, Final, NoReturn
from zoneinfo import ZoneInfo

from fintrack_tasks.domain import (
    AssetClass,
    Batch,
    Instrument,
    Interval,
    Kind,
    from_micros,
    to_micros,
)
from fintrack_tasks.errors import (
    EmptyError,
    EntitlementError,
    KeyRejectedError,
    MalformedError,
    QuotaError,
    UnavailableRangeError,
    UnknownSymbolError,
)
from fintrack_tasks.fetch.providers.answers import (
    MOST_ROWS,
    bars_with_close,
    column,
    epoch_micros,
    exact_decimal,
    price_time,
    raise_for_status,
    raise_if_too_many,
)
from fintrack_tasks.fetch.providers.base import (
    JSON_HEADERS,
    Ask,
    Facts,
    HttpRequest,
    HttpResponse,
    KeyUse,
    Quota,
    first_kept,
    kept_from_meta,
)
from fintrack_tasks.fetch.providers.json_body import json_body
from fintrack_tasks.symbols import currency_pair, with_dotted_class

__all__ = ["PROVIDER", "Finnhub"]

_RESOLUTION: Final = {Interval.D1: "D", Interval.H1: "60", Interval.M15: "15"}
_CANDLES: Final = {AssetClass.STOCK: "stock", AssetClass.FOREX: "forex", AssetClass.CRYPTO: "crypto"}
_PRICES: Final = {"open": "o", "high": "h", "low": "l", "close": "c"}
_NEW_YORK: Final = ZoneInfo("America/New_York")
_MIDNIGHT: Final = time(0)
_EVENING: Final = time(17)  # the hour, in New York, at which a day of the currency market ends and the next begins
_QUARTER: Final = 900_000_000
_KEPT_DAYS: Final = 365
"""Of intraday candles the free plan has a year."""
_LIMIT: Final = "api limit reached"
_NOT_SUPPORTED: Final = "symbol not supported"
_NO_ACCESS: Final = "access to this resource"
_API_KEY: Final = "api key"
_PLAIN: Final = (_LIMIT, _NOT_SUPPORTED, _NO_ACCESS, _API_KEY)
"""Texts of errors that come as plain text, under any status."""
_LONGEST_TEXT: Final = 200
_US_EXCHANGES: Final = ("NASDAQ", "NEW YORK STOCK EXCHANGE", "NYSE", "CBOE", "BATS", "OTC")


class Finnhub:
    """Declared facts, :meth:`request` and :meth:`parse`; :meth:`request_profile` and :meth:`parse_profile`."""

    facts: ClassVar[Facts] = Facts(
        name="finnhub",
        base_url="https://finnhub.io",
        asset_classes=frozenset({AssetClass.STOCK, AssetClass.FOREX, AssetClass.CRYPTO}),
        kinds=frozenset({Kind.QUOTE, Kind.BARS}),
        intervals=frozenset(Interval),
        page_size=500,  # of intraday candles a month at most comes at once
        quotas=(Quota(60, 60.0), Quota(30, 1.0)),
        key=KeyUse(variable="API_KEY_FINNHUB", header="X-Finnhub-Token"),
        headers=JSON_HEADERS,
        without=frozenset({(AssetClass.STOCK, Kind.BARS)}),
    )

    def request(self, ask: Ask) -> HttpRequest:
        """The quote, or the window's candles; both ends of ``from`` and ``to`` are inclusive there.

        :raises UnknownSymbolError: for a currency symbol that is no pair; no answer need be fetched to know it.
        """
        symbol = _symbol(ask.instrument)
        if ask.kind is Kind.QUOTE or ask.window is None or ask.interval is None:
            return HttpRequest("/api/v1/quote", {"symbol": symbol}, endpoint=_endpoint("quote", ask.instrument))
        # A day may be stamped with the evening before.
        margin = timedelta(days=1) if ask.interval is Interval.D1 else timedelta(0)
        name = f"{_CANDLES.get(ask.instrument.asset_class, 'stock')}/candle"
        params = {
            "symbol": symbol,
            "resolution": _RESOLUTION[ask.interval],
            "from": str(to_micros(ask.window.start - margin) // 1_000_000),
            "to": str(to_micros(ask.window.end + margin) // 1_000_000 - 1),
        }
        return HttpRequest(f"/api/v1/{name}", params, endpoint=_endpoint(name, ask.instrument))

    def parse(self, ask: Ask, response: HttpResponse) -> Batch:
        """The quote or the bars of an answer."""
        body = _body(response, ask.now)
        return _quote(ask, body) if ask.kind is Kind.QUOTE else _candles(ask, body)

    def request_profile(self, instrument: Instrument) -> HttpRequest:
        """The profile of a company.

        :raises UnknownSymbolError: for what is no stock.
        """
        if instrument.asset_class is not AssetClass.STOCK:
            raise UnknownSymbolError(f"no company stands behind a {instrument.asset_class.value} symbol")
        symbol = _symbol(instrument)
        return HttpRequest(
            "/api/v1/stock/profile2", {"symbol": symbol}, endpoint=_endpoint("stock/profile2", instrument)
        )

    def parse_profile(self, instrument: Instrument, response: HttpResponse, now: datetime) -> Instrument:
        """The instrument with its company's name, and its currency where it is listed in the US.

        A profile's own ``currency`` is that of the company's filings, which for an ADR is not that of its prices: it
        is not taken over. What was known of the currency stays.
        """
        body = _body(response, now)
        if not body:
            raise UnknownSymbolError("an empty profile")
        name, exchange = _text(body.get("name"), "name"), _text(body.get("exchange"), "exchange")
        if name is None:
            raise MalformedError("a profile without a name")
        listed_in_us = (exchange or "").upper().startswith(_US_EXCHANGES)
        return replace(instrument, name=name, currency="USD" if listed_in_us else instrument.currency)


PROVIDER: Final = Finnhub()


def _symbol(instrument: Instrument) -> str:
    """Finnhub's name of exactly this instrument.

    Crypto is taken from Coinbase, whose products have our names and real dollars: BTC-USD is not BINANCE:BTCUSDT.
    """
    symbol = instrument.symbol
    if instrument.asset_class is AssetClass.CRYPTO:
        return f"COINBASE:{symbol}"
    if instrument.asset_class is AssetClass.FOREX:
        base, quote = _pair(symbol)
        return f"OANDA:{base}_{quote}"
    return with_dotted_class(symbol)


def _pair(symbol: str) -> tuple[str, str]:
    pair = currency_pair(symbol)
    if pair is None:
        raise UnknownSymbolError(f"{symbol!r:.40} is no pair of currencies")
    return pair


def _endpoint(name: str, instrument: Instrument) -> str:
    """What a plan includes or not, as narrow as a refusal may be learnt.

    Every plan has the quotes and the profiles of the US: where one is refused, it is that symbol alone. Of another
    exchange it is the exchange, which must not be learnt of all quotes.
    """
    if instrument.asset_class is not AssetClass.STOCK:
        return name if name.endswith("/candle") else f"{name}/{instrument.asset_class.value}"
    _, dot, exchange = instrument.symbol.rpartition(".")
    if dot:
        return f"{name}/{exchange}"
    return name if name.endswith("/candle") else f"{name}/{instrument.symbol}"


def _currency(instrument: Instrument) -> str | None:
    """What the prices are in; a stock's without an exchange's suffix is listed in the US."""
    if instrument.asset_class is AssetClass.CRYPTO:
        return instrument.symbol.partition("-")[2] or None
    if instrument.asset_class is AssetClass.FOREX:
        return _pair(instrument.symbol)[1]
    return instrument.currency if "." in instrument.symbol else "USD"


def _body(response: HttpResponse, now: datetime) -> Mapping[str, Any]:
    """The object of an answer; errors are found here, whatever their status."""
    raise_for_status(response, now)
    if message := _plain_text(response):
        _raise(message, response.status)
    body = json_body(response)
    if isinstance(body, str):
        _raise(body[:_LONGEST_TEXT].lower(), response.status)
    if not isinstance(body, dict):
        raise MalformedError("an answer that is no object")
    if "error" in body:
        _raise(str(body["error"])[:_LONGEST_TEXT].lower(), response.status)
    if response.status != 200:
        raise MalformedError(f"HTTP status {response.status}")
    return body


def _plain_text(response: HttpResponse) -> str | None:
    """The words of an error that came without JSON around them, in lower case; ``None`` where something else came."""
    start = (
        response.body[:_LONGEST_TEXT].removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace").strip().lower()
    )
    return start if start[:1].isalpha() and any(words in start for words in _PLAIN) else None


def _raise(message: str, status: int) -> NoReturn:
    if _LIMIT in message:
        raise QuotaError("API limit reached")
    if _NOT_SUPPORTED in message:
        raise UnknownSymbolError("symbol not supported")
    # Formerly a plan's limits came with 401 as well: the text tells them from a bad key, whatever the status.
    if _NO_ACCESS in message:
        raise EntitlementError("no access to this resource in the plan behind the key")
    if status == 401 or _API_KEY in message:
        raise KeyRejectedError("the API key is missing or not accepted")
    if status == 403:
        raise EntitlementError("no access to this resource in the plan behind the key")
    raise MalformedError(f"an error that is not known (HTTP status {status}): {message!r:.80}")


def _quote(ask: Ask, body: Mapping[str, Any]) -> Batch:
    if "c" not in body or "t" not in body:
        raise MalformedError("a quote without c or t")
    values = {name: exact_decimal(body.get(name), name) for name in ("c", "pc", "o", "h", "l")}
    price = values["c"]
    if not any(_positive(value) for value in values.values()) and body["t"] == 0:
        # With null d and dp the symbol is unknown. With zeros, or without the two as of old, Finnhub may know it and
        # yet has no price: that must not end the item as empty either, for another provider may have one.
        raise UnknownSymbolError("a quote of zeros: no data for this symbol")
    if price is None or not _positive(price):
        raise MalformedError(f"a price of {price!r:.40}")
    if not body["t"]:
        raise MalformedError("a price without its time")
    columns = {"price": price, "volume": None}
    beside = {"previous_close": "pc", "open": "o", "high": "h", "low": "l"}
    columns |= {name: values[key] if _positive(values[key]) else None for name, key in beside.items()}
    stamp = price_time(epoch_micros(body["t"], "t"), "t")
    return _batch(ask, {"timestamp": [stamp], **{name: [value] for name, value in columns.items()}}, None)


def _positive(text: str | None) -> bool:
    return text is not None and float(text) > 0


def _candles(ask: Ask, body: Mapping[str, Any]) -> Batch:
    if body.get("s") == "no_data":
        raise _none(ask)
    stamps = body.get("t")
    if body.get("s") != "ok" or not isinstance(stamps, list) or len(stamps) > MOST_ROWS:
        raise MalformedError(f"candles of state {body.get('s')!r:.20}, or without their times")
    if absent := [name for name, key in _PRICES.items() if body.get(key) is None]:
        raise MalformedError(f"candles without {', '.join(absent)}")
    columns = {name: column(body.get(key), len(stamps), name) for name, key in {**_PRICES, "volume": "v"}.items()}
    rows: dict[int, list[str | None]] = {}
    for i, stamp in enumerate(stamps):
        opens = _opens(epoch_micros(stamp, "t"), ask)
        if ask.covers(opens):
            row = [exact_decimal(values[i], name) for name, values in columns.items()]
            if rows.setdefault(opens, row) != row:
                raise MalformedError(f"two candles of {stamp} that differ")
    if not rows:
        raise _none(ask)
    raise_if_too_many(len(rows))
    order, left_out = bars_with_close(rows)
    table = {name: [rows[opens][i] for opens in order] for i, name in enumerate(columns)}
    batch = _batch(ask, {"timestamp": order, **table, "adj_close": [None] * len(order)}, ask.interval)
    return replace(batch, meta={**kept_from_meta(ask, min(rows), first_kept(ask.now, _KEPT_DAYS)), **left_out})


def _none(ask: Ask) -> EmptyError | UnavailableRangeError:
    """What the plan does not keep is answered as what never was (Finnhub-API#287, #512)."""
    kept = first_kept(ask.now, _KEPT_DAYS)
    if ask.interval is not Interval.D1 and ask.window and ask.window.start < kept:
        detail = "no candles, in a range that begins before those that every plan has"
        return UnavailableRangeError(detail, earliest=kept)
    return EmptyError("no candles in this range")


def _opens(stamp: int, ask: Ask) -> int:
    """When a candle opens; that of a day at midnight UTC of the day that it is of."""
    if ask.interval is not Interval.D1:
        if stamp % _QUARTER:
            raise MalformedError(f"a candle at {from_micros(stamp):%FT%TZ}, where none opens")
        return stamp
    moment, asset_class = from_micros(stamp), ask.instrument.asset_class
    local = moment.astimezone(_NEW_YORK)
    if moment.time() == _MIDNIGHT:
        return stamp
    if local.time() == _MIDNIGHT and asset_class is AssetClass.STOCK:
        day = local.date()
    elif local.time() == _EVENING and asset_class is AssetClass.FOREX:
        day = local.date() + timedelta(days=1)
    else:
        raise MalformedError(f"a day at {moment:%FT%TZ}, where none begins")
    return to_micros(datetime(day.year, day.month, day.day, tzinfo=UTC))


def _batch(ask: Ask, columns: Mapping[str, list[Any]], interval: Interval | None) -> Batch:
    return Batch(
        kind=ask.kind,
        symbol=ask.instrument.symbol,
        source=Finnhub.facts.name,
        currency=_currency(ask.instrument),
        interval=interval,
        columns=columns,
    )


def _text(value: object, name: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > 200:
        raise MalformedError(f"{name} is no text: {value!r:.40}")
    return " ".join(value.split()) or None
