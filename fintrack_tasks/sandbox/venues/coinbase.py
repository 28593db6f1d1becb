"""Coinbase Exchange as it answers: ``products``, ``products/ID``, ``.../ticker`` and ``.../candles``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from fintrack_tasks.domain import AssetClass
from fintrack_tasks.sandbox.market import Listing, Market, UnknownError
from fintrack_tasks.sandbox.venues.base import Reply, json_reply

__all__ = ["VENUE"]

_PATH: Final = re.compile(r"products(?:/([A-Z0-9-]{3,24})(?:/(ticker|candles))?)?/?")
_GRANULARITIES: Final = (60, 300, 900, 3_600, 21_600, 86_400)
_MOST: Final = 300
_PRODUCTS: Final = ("BTC-USD", "ETH-USD", "SOL-USD", "LTC-USD", "BTC-EUR", "ETH-EUR", "BTC-GBP", "ETH-BTC")


class Coinbase:
    """See :class:`fintrack_tasks.sandbox.venues.base.Venue`."""

    name: ClassVar[str] = "coinbase"
    real_quotas: ClassVar[str] = "10/s"

    def answer(self, market: Market, path: str, params: Mapping[str, str]) -> Reply:
        match = _PATH.fullmatch(path)
        if match is None:
            return _message("NotFound", 404)
        product, view = match.groups()
        if product is None:
            return json_reply([_product(name) for name in _PRODUCTS])
        try:
            listing = market.listing(product)
        except UnknownError:
            listing = None
        if listing is None or listing.asset_class is not AssetClass.CRYPTO:
            return _message("NotFound", 404)
        if view == "ticker":
            return _ticker(market, listing)
        if view == "candles":
            return _candles(market, listing, params)
        return json_reply(_product(product))

    def too_many(self) -> Reply:
        return _message("Public rate limit exceeded", 429)

    def failed(self, status: int) -> Reply:
        return _message("Internal server error", status)

    def symbol_of(self, path: str, params: Mapping[str, str]) -> str:
        match = _PATH.fullmatch(path)
        return (match[1] or "") if match else ""

    def key_of(self, params: Mapping[str, str], headers: Mapping[str, str]) -> str:
        return ""


VENUE: Final = Coinbase()


def _message(text: str, status: int) -> Reply:
    return json_reply({"message": text}, status)


def _product(name: str) -> dict[str, Any]:
    base, _, quote = name.partition("-")
    return {
        "id": name,
        "base_currency": base,
        "quote_currency": quote,
        "quote_increment": "0.01",
        "base_increment": "0.00000001",
        "display_name": f"{base}/{quote}",
        "min_market_funds": "1",
        "margin_enabled": False,
        "post_only": False,
        "limit_only": False,
        "cancel_only": False,
        "trading_disabled": False,
        "fx_stablecoin": False,
        "status": "online",
        "status_message": "",
    }


def _ticker(market: Market, listing: Listing) -> Reply:
    tick = market.tick(listing)
    spread = max(round(tick.price * 0.0001, 2), 0.01)
    return json_reply(
        {
            "ask": f"{tick.price + spread:.2f}",
            "bid": f"{max(tick.price - spread, 0.01):.2f}",
            "volume": f"{tick.volume / 100:.8f}",
            "trade_id": int(tick.at.timestamp()),
            "price": f"{tick.price:.2f}",
            "size": "0.01000000",
            "time": tick.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
    )


def _moment(text: str) -> datetime | None:
    try:
        if text.lstrip("-").isdigit():
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(text[:15]))
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _candles(market: Market, listing: Listing, params: Mapping[str, str]) -> Reply:
    text = params.get("granularity", "60")
    if not text.isascii() or not text.isdigit() or int(text[:9]) not in _GRANULARITIES:
        return _message("Unsupported granularity", 400)
    seconds = int(text)
    end = _moment(params["end"]) if "end" in params else market.now()
    start = _moment(params["start"]) if "start" in params else end and end - timedelta(seconds=seconds * (_MOST - 1))
    if start is None or end is None:
        return _message("Invalid start or end", 400)
    if end < start:
        return _message("End must be after start", 400)
    if (end - start).total_seconds() / seconds > _MOST:
        text = "granularity too small for the requested time range. Count of aggregations requested exceeds 300"
        return _message(text, 400)
    bars = market.bars(listing, seconds, start, end + timedelta(seconds=1))
    rows = [[int(b.start.timestamp()), b.low, b.high, b.open, b.close, b.volume / 100] for b in reversed(bars)]
    return json_reply(rows)
