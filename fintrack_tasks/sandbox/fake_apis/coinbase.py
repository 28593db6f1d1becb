"""Fake API of Coinbase Exchange: ``products``, ``products/ID``, ``.../ticker`` and ``.../candles``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.client import responses
from random import Random
from typing import Any, ClassVar, Final

from fintrack_tasks.domain import AssetClass
from fintrack_tasks.sandbox.fake_apis.base import Reply, json_reply
from fintrack_tasks.sandbox.listings import Listing, UnknownError
from fintrack_tasks.sandbox.market import Market

__all__ = ["FAKE_API"]

_PATH: Final = re.compile(r"products(?:/([A-Z0-9-]{3,24})(?:/(ticker|candles))?)?/?")
_EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_EPOCH_SECONDS: Final = re.compile(r"-?[0-9]{1,12}")
_GRANULARITIES: Final = {str(seconds): seconds for seconds in (60, 300, 900, 3_600, 21_600, 86_400)}
_MOST: Final = 300
_PRODUCTS: Final = ("BTC-USD", "ETH-USD", "SOL-USD", "LTC-USD", "BTC-EUR", "ETH-EUR", "BTC-GBP", "ETH-BTC")


class Coinbase:
    """See :class:`fintrack_tasks.sandbox.fake_apis.base.FakeApi`."""

    name: ClassVar[str] = "coinbase"
    real_quotas: ClassVar[str] = "10/s"

    def answer(self, market: Market, path: str, params: Mapping[str, str]) -> Reply:
        match = _PATH.fullmatch(path)
        if match is None:
            return _message("NotFound", 404)
        product, view = match.groups()
        if product is None:
            return json_reply([_product(market.listing(name)) for name in _PRODUCTS])
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
        return json_reply(_product(listing))

    def too_many(self, key: str, window: float) -> Reply:
        return _message("Public rate limit exceeded", 429)

    def failed(self, status: int) -> Reply:
        return _message(responses.get(status, "Unknown Error"), status)

    def with_nulls(self, answer: Any, random: Random) -> Any:
        """A ticker's price is null; of candles, the prices of one or more."""
        if isinstance(answer, dict) and "price" in answer:
            return {**answer, "price": None}
        if isinstance(answer, list) and answer and isinstance(answer[0], list):
            hit = {random.randrange(len(answer)), random.randrange(len(answer))}
            return [[row[0], None, None, None, None, row[5]] if i in hit else row for i, row in enumerate(answer)]
        return answer

    def symbol_of(self, path: str, params: Mapping[str, str]) -> str:
        match = _PATH.fullmatch(path)
        return (match[1] or "") if match else ""

    def key_of(self, params: Mapping[str, str], headers: Mapping[str, str]) -> str:
        return ""


FAKE_API: Final = Coinbase()


def _message(text: str, status: int) -> Reply:
    return json_reply({"message": text}, status)


def _product(listing: Listing) -> dict[str, Any]:
    name = listing.symbol
    base, _, quote = name.partition("-")
    return {
        "id": name,
        "base_currency": base,
        "quote_currency": quote,
        "base_min_size": "0.0001",
        "base_max_size": "200",
        "quote_increment": f"{10.0**-listing.decimals:.{listing.decimals}f}",
        "base_increment": "0.00000001",
        "display_name": f"{base}/{quote}",
        "min_market_funds": "1",
        "max_market_funds": "1000000",
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
    decimals = listing.decimals
    spread = max(tick.price * 0.0001, 10.0**-decimals)
    return json_reply(
        {
            "ask": f"{tick.price + spread:.{decimals}f}",
            "bid": f"{max(tick.price - spread, 10.0**-decimals):.{decimals}f}",
            "volume": f"{tick.volume / 100:.8f}",
            "trade_id": int(tick.at.timestamp()),
            "price": f"{tick.price:.{decimals}f}",
            "size": "0.01000000",
            "time": tick.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
    )


def _moment(text: str) -> datetime | None:
    try:
        if _EPOCH_SECONDS.fullmatch(text):
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(text))
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment if _EARLIEST <= moment <= _LATEST else None


def _candles(market: Market, listing: Listing, params: Mapping[str, str]) -> Reply:
    seconds = _GRANULARITIES.get(params.get("granularity", "60"))
    if seconds is None:
        return _message("Unsupported granularity", 400)
    end = _moment(params["end"]) if "end" in params else market.now()
    start = _moment(params["start"]) if "start" in params else end and end - timedelta(seconds=seconds * (_MOST - 1))
    if start is None or end is None:
        return _message("Invalid start or end", 400)
    if end < start:
        return _message("End must be after start", 400)
    if end.date() < listing.first_day:
        return _message("End is too old", 400)
    first, last = math.ceil(start.timestamp() / seconds), math.floor(end.timestamp() / seconds)
    if last - first + 1 > _MOST:
        text = "granularity too small for the requested time range. Count of aggregations requested exceeds 300"
        return _message(text, 400)
    bars = market.bars(listing, seconds, start, end + timedelta(seconds=1))
    rows = [[int(b.start.timestamp()), b.low, b.high, b.open, b.close, b.volume / 100] for b in reversed(bars)]
    return json_reply(rows)
