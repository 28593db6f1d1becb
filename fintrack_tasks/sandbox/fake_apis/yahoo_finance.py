"""Fake API of Yahoo Finance: ``v8/finance/chart/SYMBOL`` and ``v7/finance/quote?symbols=``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http.client import responses
from random import Random
from typing import Any, ClassVar, Final

from fintrack_tasks.domain import AssetClass
from fintrack_tasks.sandbox.fake_apis.base import Reply, json_reply
from fintrack_tasks.sandbox.listings import Listing, UnknownError
from fintrack_tasks.sandbox.market import Bar, Market, Tick
from fintrack_tasks.sandbox.prices import real_splits

__all__ = ["FAKE_API"]

_CHART: Final = "v8/finance/chart/"
_MARKETS: Final = {
    AssetClass.STOCK: "us_market",
    AssetClass.INDEX: "us24_market",
    AssetClass.FOREX: "ccy_market",
    AssetClass.CRYPTO: "ccc_market",
    AssetClass.COMMODITY: "us24_market",
}
_SECONDS: Final = {"15m": 900, "30m": 1_800, "60m": 3_600, "90m": 5_400, "1h": 3_600, "1d": 86_400}
_SYMBOL: Final = re.compile(r"[A-Z0-9^][A-Z0-9.\-=^&]{0,31}")
_EPOCH_SECONDS: Final = re.compile(r"-?[0-9]{1,12}")
_RANGES: Final = {"1d": 1, "5d": 7, "1mo": 31, "3mo": 92, "6mo": 183, "1y": 366, "2y": 731, "5y": 1_827, "10y": 3_653}
_VALID: Final = ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"]
_TYPES: Final = {
    AssetClass.STOCK: ("EQUITY", "NMS", "NasdaqGS"),
    AssetClass.INDEX: ("INDEX", "SNP", "SNP"),
    AssetClass.FOREX: ("CURRENCY", "CCY", "CCY"),
    AssetClass.CRYPTO: ("CRYPTOCURRENCY", "CCC", "CCC"),
    AssetClass.COMMODITY: ("FUTURE", "NYM", "NY Mercantile"),
}
_KEPT_DAYS: Final = {900: 60, 1_800: 60, 5_400: 60, 3_600: 730}
"""Intraday bars of synthetic series reach back as far as the provider's; of real days, so many are served at once, and
of every index beside them: the schedule asks for the same hours of all indices, and one without them would fail."""


class _BadRequestError(Exception):
    pass


class YahooFinance:
    """See :class:`fintrack_tasks.sandbox.fake_apis.base.FakeApi`."""

    name: ClassVar[str] = "yahoo_finance"
    real_quotas: ClassVar[str] = "5/s,100/m"

    def answer(self, market: Market, path: str, params: Mapping[str, str]) -> Reply:
        try:
            if path.startswith(_CHART):
                return _chart(market, path.removeprefix(_CHART).upper(), params)
            if path == "v7/finance/quote":
                return _quotes(market, params.get("symbols", ""))
        except _BadRequestError as error:
            return _error("chart", "Bad Request", str(error), 400)
        return _error("finance", "Not Found", "HTTP 404 Not Found", 404)

    def too_many(self, key: str, window: float) -> Reply:
        return Reply(429, b"Too Many Requests\r\n", "text/plain; charset=utf-8")

    def failed(self, status: int) -> Reply:
        phrase = responses.get(status, "Unknown Error")
        return _error("finance", phrase, f"HTTP {status} {phrase}", status)

    def with_nulls(self, answer: Any, random: Random) -> Any:
        """A whole row, or its close and adjusted close, is null here and there; a quote's price is."""
        if not isinstance(answer, dict):
            return answer
        for quote in (answer.get("quoteResponse") or {}).get("result") or []:
            quote["regularMarketPrice"] = None
        for result in (answer.get("chart") or {}).get("result") or []:
            stamps = result.get("timestamp", [])
            if len(stamps) < 2:
                result["meta"]["regularMarketPrice"] = None
            _null_rows(result["indicators"], len(stamps), random)
        return answer

    def symbol_of(self, path: str, params: Mapping[str, str]) -> str:
        return path.removeprefix(_CHART) if path.startswith(_CHART) else params.get("symbols", "")

    def key_of(self, params: Mapping[str, str], headers: Mapping[str, str]) -> str:
        return ""


FAKE_API: Final = YahooFinance()


def _error(root: str, code: str, text: str, status: int) -> Reply:
    return json_reply({root: {"result": None, "error": {"code": code, "description": text}}}, status)


def _null_rows(indicators: dict[str, Any], count: int, random: Random) -> None:
    quote, adjusted = indicators["quote"][0], indicators.get("adjclose", [{}])[0]
    hit = [i for i in range(count) if random.random() < 0.2] or list(range(min(count, 1)))
    for row in hit:
        whole = row == hit[0] or random.random() < 0.5
        for column in [*(quote.values() if whole else [quote["close"]]), *adjusted.values()]:
            column[row] = None


def _moment(text: str, name: str) -> datetime:
    if not _EPOCH_SECONDS.fullmatch(text):
        raise _BadRequestError(f"Invalid input - {name} is not a number of seconds")
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(text))
    except OverflowError:
        raise _BadRequestError(f"Invalid input - {name} is out of range") from None


def _span(market: Market, params: Mapping[str, str]) -> tuple[datetime, datetime]:
    now = market.now()
    if "period1" in params or "period2" in params:
        start = _moment(params.get("period1", "0"), "period1")
        end = _moment(params["period2"], "period2") if "period2" in params else now
        if end <= start:
            raise _BadRequestError("Invalid input - start date cannot be after end date.")
        return start, end
    wanted = params.get("range", "1d")
    if wanted not in _VALID:
        raise _BadRequestError(f"Invalid input - range={wanted[:20]} is not supported. Valid ranges: {_VALID}")
    start = now - timedelta(days=_RANGES[wanted]) if wanted in _RANGES else datetime(1970, 1, 1, tzinfo=UTC)
    if wanted == "ytd":
        start = datetime(now.year, 1, 1, tzinfo=UTC)
    return start, now + timedelta(seconds=1)


def _listing(market: Market, symbol: str) -> Listing:
    if not _SYMBOL.fullmatch(symbol):
        raise UnknownError(symbol)
    return market.listing(symbol)


def _chart(market: Market, symbol: str, params: Mapping[str, str]) -> Reply:
    interval = params.get("interval", "1d")
    if interval not in _SECONDS:
        valid = ", ".join(_SECONDS)
        raise _BadRequestError(f"Invalid input - interval={interval[:20]} is not supported. Valid intervals: [{valid}]")
    try:
        listing = _listing(market, symbol)
    except UnknownError:
        return _error("chart", "Not Found", "No data found, symbol may be delisted", 404)
    start, end = _span(market, params)
    seconds, tick = _SECONDS[interval], market.tick(listing)
    if seconds in _KEPT_DAYS and _too_far(listing, start, end, market.now(), _KEPT_DAYS[seconds]):
        text = (
            f"{interval} data not available for startTime={int(start.timestamp())} and endTime={int(end.timestamp())}. "
            f"The requested range must be within the last {_KEPT_DAYS[seconds]} days."
        )
        return _error("chart", "Unprocessable Entity", text, 422)
    bars = market.bars(listing, seconds, start, end)
    meta = _meta(market, listing, tick, interval, "" if "period1" in params else params.get("range", ""))
    if seconds < 86_400:
        meta |= {"previousClose": tick.previous_close, "scale": 3}
        meta["fintrack"] = listing.path_statement
    if not bars:
        meta["fintrack"] = listing.quote_statement
    events = _events(market, listing, params.get("events", ""), start, end)
    result = {"meta": meta, **_columns(bars, tick, daily=seconds >= 86_400)}
    if events:
        result["events"] = events
    return json_reply({"chart": {"result": [result], "error": None}})


def _too_far(listing: Listing, start: datetime, end: datetime, now: datetime, days: int) -> bool:
    from_now = listing.synthetic and listing.asset_class is not AssetClass.INDEX
    return (now if from_now else end) - start > timedelta(days=days)


def _events(market: Market, listing: Listing, wanted: str, start: datetime, end: datetime) -> dict[str, Any]:
    """The splits within the span, in Yahoo's form; dividends are not known of the bundled prices."""
    if not {"split", "splits"} & set(re.split(r"[,|]", wanted)):
        return {}
    splits = {}
    for day, ratio in real_splits(listing.symbol):
        opens = market.session(listing, day)[0]
        if start <= opens < end:
            stamp = int(opens.timestamp())
            splits[str(stamp)] = {"date": stamp, "numerator": ratio, "denominator": 1, "splitRatio": f"{ratio}:1"}
    return {"splits": splits} if splits else {}


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


def _type(listing: Listing) -> tuple[str, str, str]:
    """What it is, and its exchange: outside New York by the calendar's name, since Yahoo's own is not known."""
    kind, exchange, full = _TYPES[listing.asset_class]
    if listing.exchange is None or listing.asset_class is AssetClass.COMMODITY:
        return kind, exchange, full
    return kind, listing.exchange.name, listing.exchange.name


def _offset(listing: Listing, now: datetime) -> tuple[int, str]:
    local = now.astimezone(listing.zone)
    shift = local.utcoffset() or timedelta(0)
    return int(shift.total_seconds()), local.tzname() or "UTC"


def _first_trade(market: Market, listing: Listing) -> int:
    return int(market.stamp(listing, listing.first_day).timestamp())


def _is_extended(listing: Listing) -> bool:
    """Whether there is trade before and after the session: for New York's stocks alone."""
    return listing.asset_class is AssetClass.STOCK and listing.exchange is None


def _trading_periods(market: Market, listing: Listing) -> dict[str, Any]:
    """The parts of today's session, ``pre``, ``regular`` and ``post``; without extended trade two of them are empty."""
    now = market.now()
    offset, short = _offset(listing, now)
    today = now.astimezone(listing.zone).date()
    opens, closes = market.session(listing, today)
    if listing.asset_class is AssetClass.FOREX:  # its days are London's, by the stamps
        opens, closes = (market.stamp(listing, day) for day in (today, today + timedelta(days=1)))
    ends = [opens, opens, closes, closes]
    if _is_extended(listing):
        ends = [opens - timedelta(hours=5, minutes=30), opens, closes, closes + timedelta(hours=4)]
    marks = [int(moment.timestamp()) for moment in ends]
    return {
        name: {"timezone": short, "start": marks[i], "end": marks[i + 1], "gmtoffset": offset}
        for i, name in enumerate(("pre", "regular", "post"))
    }


def _meta(market: Market, listing: Listing, tick: Tick, interval: str, wanted: str) -> dict[str, Any]:
    kind, exchange, full = _type(listing)
    offset, short = _offset(listing, market.now())
    return {
        "currency": listing.currency,
        "symbol": listing.symbol,
        "exchangeName": exchange,
        "fullExchangeName": full,
        "instrumentType": kind,
        "firstTradeDate": _first_trade(market, listing),
        "regularMarketTime": int(tick.at.timestamp()),
        "hasPrePostMarketData": _is_extended(listing),
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
        "currentTradingPeriod": _trading_periods(market, listing),
        "dataGranularity": interval,
        "range": wanted,
        "validRanges": _VALID,
        "fintrack": listing.statement,
    }


def _quotes(market: Market, symbols: str) -> Reply:
    found = []
    for symbol in [part.strip() for part in symbols.split(",") if part.strip()][:200]:
        try:
            listing = _listing(market, symbol.upper())
        except UnknownError:
            continue  # v7 leaves out silently what it does not know
        found.append(_quote(market, listing))
    return json_reply({"quoteResponse": {"result": found, "error": None}})


def _quote(market: Market, listing: Listing) -> dict[str, Any]:
    tick = market.tick(listing)
    kind, exchange, full = _type(listing)
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
        "market": f"{exchange.lower()}_market" if listing.exchange else _MARKETS[listing.asset_class],
        "marketState": "REGULAR",
        "esgPopulated": False,
        "triggerable": True,
        "tradeable": False,
        "sourceInterval": 15,
        "exchangeDataDelayedBy": 0,
        "firstTradeDateMilliseconds": _first_trade(market, listing) * 1000,
        "regularMarketPrice": tick.price,
        "regularMarketTime": int(tick.at.timestamp()),
        "regularMarketChange": round(change, 6),
        "regularMarketChangePercent": round(100 * change / tick.previous_close, 6),
        "regularMarketPreviousClose": tick.previous_close,
        "regularMarketDayHigh": max(tick.price, tick.previous_close),
        "regularMarketDayLow": min(tick.price, tick.previous_close),
        "regularMarketVolume": tick.volume,
        "priceHint": 4 if listing.asset_class is AssetClass.FOREX else 2,
        "symbol": listing.symbol,
        "fintrack": listing.quote_statement,
    }
