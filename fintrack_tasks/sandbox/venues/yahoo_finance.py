"""Yahoo Finance as it answers: ``v8/finance/chart/SYMBOL`` and ``v7/finance/quote?symbols=``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from fintrack_tasks.domain import AssetClass
from fintrack_tasks.sandbox.market import Bar, Listing, Market, Tick, UnknownError
from fintrack_tasks.sandbox.venues.base import Reply, json_reply

__all__ = ["VENUE"]

_CHART: Final = "v8/finance/chart/"
_SECONDS: Final = {"1d": 86_400, "1h": 3_600, "60m": 3_600, "15m": 900}
_RANGES: Final = {"1d": 1, "5d": 7, "1mo": 31, "3mo": 92, "6mo": 183, "1y": 366, "2y": 731, "5y": 1_827, "10y": 3_653}
_VALID: Final = ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"]
_TYPES: Final = {
    AssetClass.STOCK: ("EQUITY", "NMS", "NasdaqGS"),
    AssetClass.INDEX: ("INDEX", "SNP", "SNP"),
    AssetClass.FOREX: ("CURRENCY", "CCY", "CCY"),
    AssetClass.CRYPTO: ("CRYPTOCURRENCY", "CCC", "CCC"),
}
_KEPT_DAYS: Final = {3_600: 730, 900: 60}
"""Intraday bars of synthetic series reach back as far as the provider's; those of real days are served at any age."""


class _BadRequestError(Exception):
    pass


class YahooFinance:
    """See :class:`fintrack_tasks.sandbox.venues.base.Venue`."""

    name: ClassVar[str] = "yahoo_finance"
    real_quotas: ClassVar[str] = "5/s,100/m"

    def answer(self, market: Market, path: str, params: Mapping[str, str]) -> Reply:
        try:
            if path.startswith(_CHART):
                return _chart(market, path.removeprefix(_CHART), params)
            if path == "v7/finance/quote":
                return _quotes(market, params.get("symbols", ""))
        except _BadRequestError as error:
            return _error("chart", "Bad Request", str(error), 400)
        return _error("finance", "Not Found", "HTTP 404 Not Found", 404)

    def too_many(self) -> Reply:
        return Reply(429, b"Too Many Requests\r\n", "text/plain; charset=utf-8")

    def failed(self, status: int) -> Reply:
        return _error("chart", "Internal Server Error", "internal-error", status)

    def symbol_of(self, path: str, params: Mapping[str, str]) -> str:
        return path.removeprefix(_CHART) if path.startswith(_CHART) else params.get("symbols", "")

    def key_of(self, params: Mapping[str, str], headers: Mapping[str, str]) -> str:
        return ""


VENUE: Final = YahooFinance()


def _error(root: str, code: str, text: str, status: int) -> Reply:
    return json_reply({root: {"result": None, "error": {"code": code, "description": text}}}, status)


def _moment(text: str, name: str) -> datetime:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(text[:15]))
    except (ValueError, OverflowError):
        raise _BadRequestError(f"Invalid input - {name} is not a number") from None


def _span(market: Market, params: Mapping[str, str]) -> tuple[datetime, datetime]:
    now = market.now()
    if "period1" in params or "period2" in params:
        start = _moment(params.get("period1", "0"), "period1")
        end = _moment(params["period2"], "period2") if "period2" in params else now
        if end <= start:
            raise _BadRequestError("Invalid input - start date cannot be after end date.")
        return start, end
    wanted = params.get("range", "1d")
    if wanted == "max":
        return datetime(1970, 1, 1, tzinfo=UTC), now + timedelta(seconds=1)
    if wanted not in _RANGES:
        raise _BadRequestError(f"Invalid input - range={wanted[:20]} is not supported. Valid ranges: {_VALID}")
    return now - timedelta(days=_RANGES[wanted]), now + timedelta(seconds=1)


def _chart(market: Market, symbol: str, params: Mapping[str, str]) -> Reply:
    interval = params.get("interval", "1d")
    if interval not in _SECONDS:
        raise _BadRequestError(
            f"Invalid input - interval={interval[:20]} is not supported. Valid intervals: [15m, 1h, 1d]"
        )
    try:
        listing = market.listing(symbol)
    except UnknownError:
        return _error("chart", "Not Found", "No data found, symbol may be delisted", 404)
    start, end = _span(market, params)
    seconds, tick = _SECONDS[interval], market.tick(listing)
    if listing.real is None and seconds in _KEPT_DAYS and start < market.now() - timedelta(days=_KEPT_DAYS[seconds]):
        text = (
            f"{interval} data not available for startTime={int(start.timestamp())} and endTime={int(end.timestamp())}. "
            f"The requested range must be within the last {_KEPT_DAYS[seconds]} days."
        )
        return _error("chart", "Unprocessable Entity", text, 422)
    bars = market.bars(listing, seconds, start, end)
    meta = _meta(market, listing, tick, interval, params.get("range", ""))
    if seconds < 86_400:
        meta["fintrack"] = {"synthetic": True, "origin": f"a path within each day of: {listing.origin}"}
    result = {"meta": meta, **_columns(bars, tick, daily=seconds >= 86_400)}
    return json_reply({"chart": {"result": [result], "error": None}})


def _columns(bars: Sequence[Bar], tick: Tick, *, daily: bool) -> dict[str, Any]:
    if not bars:
        return {"indicators": {"quote": [{}], **({"adjclose": [{}]} if daily else {})}}
    quote = {name: [getattr(bar, name) for bar in bars] for name in ("close", "open", "low", "high", "volume")}
    indicators: dict[str, Any] = {"quote": [quote]}
    if daily:
        indicators["adjclose"] = [{"adjclose": [bar.adj_close for bar in bars]}]
    # A live bar carries the time of its last trade, not that of its opening.
    stamps = [int((tick.at if bar.live else bar.start).timestamp()) for bar in bars]
    return {"timestamp": stamps, "indicators": indicators}


def _offset(listing: Listing, now: datetime) -> tuple[int, str]:
    local = now.astimezone(listing.zone)
    shift = local.utcoffset() or timedelta(0)
    return int(shift.total_seconds()), local.tzname() or "UTC"


def _meta(market: Market, listing: Listing, tick: Tick, interval: str, wanted: str) -> dict[str, Any]:
    kind, exchange, full = _TYPES[listing.asset_class]
    now = market.now()
    offset, short = _offset(listing, now)
    opens, closes = market.session(listing, now.astimezone(listing.zone).date())
    period = {"timezone": short, "start": int(opens.timestamp()), "end": int(closes.timestamp()), "gmtoffset": offset}
    return {
        "currency": listing.currency,
        "symbol": listing.symbol,
        "exchangeName": exchange,
        "fullExchangeName": full,
        "instrumentType": kind,
        "firstTradeDate": None,
        "regularMarketTime": int(tick.at.timestamp()),
        "hasPrePostMarketData": listing.asset_class is AssetClass.STOCK,
        "gmtoffset": offset,
        "timezone": short,
        "exchangeTimezoneName": str(listing.zone),
        "regularMarketPrice": tick.price,
        "regularMarketDayHigh": max(tick.price, tick.previous_close),
        "regularMarketDayLow": min(tick.price, tick.previous_close),
        "regularMarketVolume": tick.volume,
        "longName": listing.symbol,
        "shortName": listing.symbol,
        "chartPreviousClose": tick.previous_close,
        "priceHint": 4 if listing.asset_class is AssetClass.FOREX else 2,
        "currentTradingPeriod": {"pre": period, "regular": period, "post": period},
        "dataGranularity": interval,
        "range": wanted,
        "validRanges": _VALID,
        "fintrack": listing.statement,
    }


def _quotes(market: Market, symbols: str) -> Reply:
    found = []
    for symbol in [part.strip() for part in symbols.split(",") if part.strip()][:200]:
        try:
            listing = market.listing(symbol)
        except UnknownError:
            continue  # v7 leaves out silently what it does not know
        found.append(_quote(market, listing))
    return json_reply({"quoteResponse": {"result": found, "error": None}})


def _quote(market: Market, listing: Listing) -> dict[str, Any]:
    tick = market.tick(listing)
    kind, exchange, full = _TYPES[listing.asset_class]
    offset, short = _offset(listing, market.now())
    change = tick.price - tick.previous_close
    return {
        "language": "en-US",
        "region": "US",
        "quoteType": kind,
        "currency": listing.currency,
        "exchange": exchange,
        "fullExchangeName": full,
        "shortName": listing.symbol,
        "exchangeTimezoneName": str(listing.zone),
        "exchangeTimezoneShortName": short,
        "gmtOffSetMilliseconds": offset * 1000,
        "marketState": "REGULAR",
        "regularMarketPrice": tick.price,
        "regularMarketTime": int(tick.at.timestamp()),
        "regularMarketChange": round(change, 6),
        "regularMarketChangePercent": round(100 * change / tick.previous_close, 6),
        "regularMarketPreviousClose": tick.previous_close,
        "regularMarketVolume": tick.volume,
        "priceHint": 4 if listing.asset_class is AssetClass.FOREX else 2,
        "symbol": listing.symbol,
        "fintrack": listing.statement,
    }
