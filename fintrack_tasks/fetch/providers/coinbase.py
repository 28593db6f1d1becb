"""Coinbase: tickers and candles of crypto pairs, public; where a key is given, requests are signed with it.

Docs: https://docs.cdp.coinbase.com/exchange/reference.

The Exchange API is what is asked; answers of Advanced Trade, where everything is text, are understood as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final
from urllib.parse import quote as quote_url

from fintrack_tasks.domain import AssetClass, Batch, Interval, Kind, to_micros
from fintrack_tasks.errors import (
    EmptyError,
    EntitlementError,
    KeyRejectedError,
    MalformedError,
    NoPriceError,
    QuotaError,
    UnavailableRangeError,
    UnknownSymbolError,
)
from fintrack_tasks.fetch.providers.answers import (
    MOST_ROWS,
    bars_with_close,
    epoch_micros,
    exact_decimal,
    positive_decimal,
    price_time,
    raise_for_status,
    raise_if_too_many,
)
from fintrack_tasks.fetch.providers.base import JSON_HEADERS, Ask, Facts, HttpRequest, HttpResponse, KeyUse, Quota
from fintrack_tasks.fetch.providers.json_body import json_body

__all__ = ["PROVIDER", "Coinbase"]

_SECONDS: Final = {Interval.D1: 86_400, Interval.H1: 3_600, Interval.M15: 900}
_BAR: Final = ("open", "high", "low", "close", "volume")
_NOT_KEPT: Final = ("end is too old", "start is too old", "granularity too small for the requested time range")
_ALMOST_A_SECOND: Final = timedelta(seconds=1) - timedelta(microseconds=1)


class Coinbase:
    """Declared facts, :meth:`request` and :meth:`parse`."""

    facts: ClassVar[Facts] = Facts(
        name="coinbase",
        base_url="https://api.exchange.coinbase.com",
        asset_classes=frozenset({AssetClass.CRYPTO}),
        kinds=frozenset({Kind.QUOTE, Kind.BARS}),
        intervals=frozenset(Interval),
        page_size=300,
        quotas=(Quota(10, 1.0),),
        key=KeyUse(variable="API_KEY_COINBASE", signed=True, optional=True),
        headers=JSON_HEADERS,
    )

    def request(self, ask: Ask) -> HttpRequest:
        """The ticker, or the window's candles; both ends of ``start`` and ``end`` are inclusive there."""
        path = f"/products/{quote_url(ask.instrument.symbol, safe='')}"
        if ask.kind is Kind.QUOTE or ask.window is None or ask.interval is None:
            return HttpRequest(f"{path}/ticker", endpoint="ticker")
        return HttpRequest(
            f"{path}/candles",
            {
                "granularity": str(_SECONDS[ask.interval]),
                # Whole seconds inside the window: rounded outwards, 300 bars would become 301, and be refused.
                "start": _second(ask.window.start + _ALMOST_A_SECOND),
                "end": _second(ask.window.end - timedelta(microseconds=1)),
            },
            endpoint="candles",
        )

    def parse(self, ask: Ask, response: HttpResponse) -> Batch:
        """The quote or the bars of an answer."""
        raise_for_status(response, ask.now)
        body = json_body(response)
        if isinstance(body, dict) and ("message" in body or response.status != 200):
            _raise(" ".join(str(body.get("message")).split())[:200], response.status)
        if response.status != 200:
            raise MalformedError(f"HTTP status {response.status}")
        return _ticker(ask, body) if ask.kind is Kind.QUOTE else _candles(ask, body)


PROVIDER: Final = Coinbase()


def _second(moment: datetime) -> str:
    """The whole second at or before a moment."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _raise(message: str, status: int) -> None:
    if status == 404 or message.replace(" ", "").lower() == "notfound":
        raise UnknownSymbolError(message)
    if "rate limit" in message.lower():
        raise QuotaError(message)  # also where the status is not 429
    if message.lower().startswith(_NOT_KEPT):
        raise UnavailableRangeError(message)
    if status == 401:
        raise KeyRejectedError(message)
    if status == 403:
        raise EntitlementError(message)
    raise MalformedError(f"{message} (HTTP status {status})")


def _batch(ask: Ask, columns: Mapping[str, Sequence[Any]], interval: Interval | None) -> Batch:
    return Batch(
        kind=ask.kind,
        symbol=ask.instrument.symbol,
        source=Coinbase.facts.name,
        currency=ask.instrument.symbol.partition("-")[2] or None,
        interval=interval,
        columns=columns,
    )


def _ticker(ask: Ask, body: object) -> Batch:
    if not isinstance(body, dict):
        raise MalformedError("a ticker is no object")
    if isinstance(trades := body.get("trades"), list):
        if not trades:
            raise NoPriceError("no trades")
        if not isinstance(trades[0], dict):
            raise MalformedError(f"a trade is no object: {trades[0]!r:.60}")
        body = {**trades[0], "bid": body.get("best_bid"), "ask": body.get("best_ask")}
    _same_product(ask, body)
    price = exact_decimal(body.get("price"), "price")
    if price is None:
        raise MalformedError("a ticker without a price")
    if float(price) <= 0:
        raise NoPriceError(f"a price of {price:.40}: no trade yet")
    columns = {"volume": exact_decimal(body.get("volume"), "volume")}
    columns |= {name: positive_decimal(body.get(name), name) for name in ("bid", "ask")}
    return _batch(
        ask,
        {"timestamp": [_iso(body.get("time"))], "price": [price], **{name: [v] for name, v in columns.items()}},
        None,
    )


def _same_product(ask: Ask, body: Mapping[str, Any]) -> None:
    product = body.get("product_id")
    if product is not None and product != ask.instrument.symbol:
        raise MalformedError(f"an answer for {product!r:.20} where {ask.instrument.symbol} was asked for")


def _iso(text: object) -> int:
    if not isinstance(text, str):
        raise MalformedError(f"time is no text: {text!r:.40}")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise MalformedError(f"time is no ISO 8601 time: {text!r:.40}") from None
    if moment.tzinfo is None:
        raise MalformedError(f"time has no zone: {text!r:.40}")
    return price_time(to_micros(moment), "time")


def _candles(ask: Ask, body: object) -> Batch:
    if isinstance(body, dict) and isinstance(body.get("candles"), list):
        body = [_listed(candle) for candle in body["candles"]]
    if not isinstance(body, list) or len(body) > MOST_ROWS:
        raise MalformedError("candles are no list, or far too many")
    interval = ask.interval or Interval.D1
    rows: dict[int, list[str | None]] = {}
    for stamp, values in (_row(candle, interval) for candle in body):
        if ask.covers(stamp) and rows.setdefault(stamp, values) != values:
            raise MalformedError(f"two candles of {stamp // 1_000_000} that differ")
    if not rows:
        raise EmptyError("no candles in this range")
    order, left_out = bars_with_close(rows)
    raise_if_too_many(len(order))
    columns = {name: [rows[stamp][i] for stamp in order] for i, name in enumerate(_BAR)}
    batch = _batch(ask, {"timestamp": order, **columns, "adj_close": [None] * len(order)}, interval)
    return replace(batch, meta=left_out)


def _row(candle: object, interval: Interval) -> tuple[int, list[str | None]]:
    """When a candle ``[time, low, high, open, close, volume]`` opens, and its values in the order of a bar's."""
    if not isinstance(candle, list) or len(candle) != 6:
        raise MalformedError(f"a candle is no list of six values: {candle!r:.60}")
    stamp = epoch_micros(candle[0], "time")
    if stamp % (_SECONDS[interval] * 1_000_000):
        raise MalformedError(f"a candle at {candle[0]!r:.20}, where none of {interval.value} opens")
    values = [exact_decimal(candle[i], name) for name, i in zip(_BAR, (3, 2, 1, 4, 5), strict=True)]
    return stamp, values


def _listed(candle: object) -> list[Any]:
    if not isinstance(candle, dict):
        raise MalformedError(f"a candle is no object: {candle!r:.60}")
    names = ("start", "low", "high", "open", "close", "volume")
    if absent := [name for name in names if name not in candle]:
        raise MalformedError(f"a candle without {', '.join(absent)}")
    return [candle[name] for name in names]
