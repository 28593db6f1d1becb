"""Fake API of Finnhub, on its free plan: ``quote``, ``stock/profile2``, candles of currencies and crypto.

Refused are the candles of stocks, indices and other exchanges than those of the US. Its answers have no metadata in
which a synthetic series could say that it is one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http.client import responses
from random import Random
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo

from fintrack_tasks.domain import AssetClass
from fintrack_tasks.sandbox.fake_apis.base import Reply, json_reply
from fintrack_tasks.sandbox.listings import Listing, UnknownError
from fintrack_tasks.sandbox.market import Bar, Market

__all__ = ["FAKE_API"]

_ROOT: Final = "api/v1/"
_SECONDS: Final = {"1": 60, "5": 300, "15": 900, "30": 1_800, "60": 3_600, "D": 86_400}
_EPOCH_SECONDS: Final = re.compile(r"[0-9]{1,11}", re.ASCII)
_PAIR: Final = re.compile(r"OANDA:([A-Z]{3})_([A-Z]{3})")
_PRODUCT: Final = re.compile(r"COINBASE:([A-Z0-9]{2,10}-[A-Z]{3,5})")
_STOCK: Final = re.compile(r"([A-Z0-9]{1,10})(?:\.([A-Z]))?")
_NEW_YORK: Final = ZoneInfo("America/New_York")
_EVENING: Final = 17  # the hour in New York at which a day of the currency market begins
_MONTH: Final = timedelta(days=31)  # so much of intraday candles comes at once
_UNKNOWN: Final = {"c": 0, "d": None, "dp": None, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0}


class Finnhub:
    """See :class:`fintrack_tasks.sandbox.fake_apis.base.FakeApi`."""

    name: ClassVar[str] = "finnhub"
    real_quotas: ClassVar[str] = "60/m,30/s"

    def answer(self, market: Market, path: str, params: Mapping[str, str]) -> Reply:
        view, symbol = path.removeprefix(_ROOT), params.get("symbol", "").upper()
        listing = _listing(market, symbol)
        if not path.startswith(_ROOT) or view not in ("quote", "stock/profile2", *_CANDLES, "stock/candle"):
            return self.failed(404)
        if view == "stock/candle" or _elsewhere(symbol):
            return _error("You don't have access to this resource.", 403)
        if view in _CANDLES:
            return _candles(market, listing if listing and listing.asset_class is _CANDLES[view] else None, params)
        if view == "quote":
            return json_reply(_quote(market, listing) if listing else _UNKNOWN)
        return json_reply(_profile(market, listing) if listing and listing.asset_class is AssetClass.STOCK else {})

    def without_key(self) -> Reply:
        """The reply to a request that has no key."""
        return _error("Please use an API key.", 401)

    def too_many(self, key: str, window: float) -> Reply:
        return _error("API limit reached. Please try again later. Remaining Limit: 0", 429)

    def failed(self, status: int) -> Reply:
        return _error(responses.get(status, "Unknown Error"), status)

    def with_nulls(self, answer: Any, random: Random) -> Any:
        """The changes of a quote are null; candles are not known to have nulls."""
        return {**answer, "d": None, "dp": None} if isinstance(answer, dict) and "dp" in answer else answer

    def symbol_of(self, path: str, params: Mapping[str, str]) -> str:
        return params.get("symbol", "")

    def key_of(self, params: Mapping[str, str], headers: Mapping[str, str]) -> str:
        return headers.get("X-Finnhub-Token") or params.get("token", "")


FAKE_API: Final = Finnhub()

_CANDLES: Final = {"forex/candle": AssetClass.FOREX, "crypto/candle": AssetClass.CRYPTO}


def _error(text: str, status: int) -> Reply:
    return json_reply({"error": text}, status)


def _elsewhere(symbol: str) -> bool:
    """Whether it is an index, or listed outside the US; a lone letter may be a class of shares."""
    return symbol.startswith("^") or bool(re.fullmatch(r"[A-Z0-9.\-]+\.[A-Z]{2,3}", symbol))


def _listing(market: Market, symbol: str) -> Listing | None:
    if pair := _PAIR.fullmatch(symbol):
        ours = f"{pair[1]}{pair[2]}=X"
    elif product := _PRODUCT.fullmatch(symbol):
        ours = product[1]
    elif stock := _STOCK.fullmatch(symbol):
        ours = f"{stock[1]}-{stock[2]}" if stock[2] else symbol
    else:
        return None
    try:
        return market.listing(ours)
    except UnknownError:
        return None


def _quote(market: Market, listing: Listing) -> dict[str, Any]:
    tick = market.tick(listing)
    change = tick.price - tick.previous_close
    return {
        "c": tick.price,
        "d": round(change, max(4, listing.decimals)),
        "dp": round(100 * change / tick.previous_close, 4),
        "h": max(tick.price, tick.previous_close),
        "l": min(tick.price, tick.previous_close),
        "o": tick.previous_close,
        "pc": tick.previous_close,
        "t": int(tick.at.timestamp()),
    }


def _profile(market: Market, listing: Listing) -> dict[str, Any]:
    return {
        "country": "US",
        "currency": listing.currency,
        "estimateCurrency": listing.currency,
        "exchange": "NASDAQ NMS - GLOBAL MARKET",
        "finnhubIndustry": "Technology",
        "ipo": f"{listing.first_day:%Y-%m-%d}",
        "logo": "",
        "marketCapitalization": round(1_000 * market.last_close(listing), 4),
        "name": listing.symbol,
        "phone": "",
        "shareOutstanding": 1_000,
        "ticker": listing.symbol,
        "weburl": "",
    }


def _moment(text: str | None) -> datetime | None:
    if text is None or not _EPOCH_SECONDS.fullmatch(text):
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(text))


def _candles(market: Market, listing: Listing | None, params: Mapping[str, str]) -> Reply:
    seconds = _SECONDS.get(params.get("resolution", ""))
    start, end = _moment(params.get("from")), _moment(params.get("to"))
    if seconds is None or start is None or end is None:
        return _error("Wrong parameters", 422)
    bars = _stamped(market, listing, seconds, start, end) if listing else []
    if not bars:
        return json_reply({"s": "no_data"})
    columns = {name[0]: [getattr(bar, name) for _, bar in bars] for name in ("close", "high", "low", "open", "volume")}
    return json_reply({**columns, "s": "ok", "t": [stamp for stamp, _ in bars]})


def _stamped(
    market: Market, listing: Listing, seconds: int, start: datetime, end: datetime
) -> Sequence[tuple[int, Bar]]:
    """The bars whose stamps lie between both ends, these included."""
    daily = seconds == _SECONDS["D"]
    margin = timedelta(days=2) if daily else timedelta(0)
    since = start - margin if daily else max(start, end - _MONTH)
    found = market.bars(listing, seconds, since, end + margin + timedelta(seconds=1))
    stamps = [_day_begins(listing, bar) if daily else bar.start for bar in found]
    return [(int(s.timestamp()), bar) for s, bar in zip(stamps, found, strict=True) if start <= s <= end]


def _day_begins(listing: Listing, bar: Bar) -> datetime:
    """A day of currencies begins in New York on the evening before, any other at its midnight."""
    if listing.asset_class is not AssetClass.FOREX:
        return bar.start
    eve = bar.start.astimezone(listing.zone).date() - timedelta(days=1)
    return datetime(eve.year, eve.month, eve.day, _EVENING, tzinfo=_NEW_YORK).astimezone(UTC)
