"""Fake API of Twelve Data: ``quote``, ``time_series`` and ``exchange_rate``, for one symbol or several after commas.

Prices are text, local times have no zone of their own, and limits come with status 200.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from http.client import responses
from random import Random
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fintrack_tasks.domain import AssetClass
from fintrack_tasks.sandbox.fake_apis.base import Reply, json_reply
from fintrack_tasks.sandbox.listings import Listing, UnknownError
from fintrack_tasks.sandbox.market import Bar, Market
from fintrack_tasks.sandbox.prices import fx_rates

__all__ = ["FAKE_API"]

_SECONDS: Final = {"1min": 60, "5min": 300, "15min": 900, "30min": 1_800, "1h": 3_600, "1day": 86_400}
_INDICES: Final = {"SPX": "^GSPC", "DJI": "^DJI", "IXIC": "^IXIC", "NDX": "^NDX", "RUT": "^RUT", "VIX": "^VIX"}
_STOCK: Final = re.compile(r"([A-Z0-9]{1,10})(?:\.([A-Z]))?")
_PAIR: Final = re.compile(r"([A-Z0-9]{2,10})/([A-Z0-9]{3,5})")
_TYPES: Final = {
    AssetClass.STOCK: "Common Stock",
    AssetClass.INDEX: "Index",
    AssetClass.FOREX: "Physical Currency",
    AssetClass.CRYPTO: "Digital Currency",
}
_FEW, _MOST = 30, 5_000  # bars without and with a date
_DAY: Final = 86_400
_SIZE: Final = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_LIMITS: Final = {"minute": 8, "day": 800}
_MISSING: Final = (
    "**symbol** or **figi** parameter is missing or invalid. Please provide a valid symbol according to API "
    "documentation: https://twelvedata.com/docs#reference-data"
)
_NO_KEY: Final = (
    "**apikey** parameter is incorrect or not specified. You can get your free API key instantly following this link: "
    "https://twelvedata.com/pricing. If you believe that everything is correct, you can contact us at "
    "https://twelvedata.com/contact/customer"
)
_NO_DATA: Final = "No data is available on the specified dates. Try setting different start/end dates."


class _RefusedError(Exception):
    def __init__(self, code: int, text: str) -> None:
        self.code = code
        super().__init__(text)


class TwelveData:
    """See :class:`fintrack_tasks.sandbox.fake_apis.base.FakeApi`."""

    name: ClassVar[str] = "twelve_data"
    real_quotas: ClassVar[str] = "8/m,800/d"

    def answer(self, market: Market, path: str, params: Mapping[str, str]) -> Reply:
        view = _VIEWS.get(path)
        if view is None:
            return self.failed(404)
        names = _names(params)
        if len(names) > 1:
            return json_reply({name: _entry(view, market, name, params) for name in names})
        try:
            return json_reply(view(market, _listing(market, names[0] if names else ""), params))
        except _RefusedError as refused:
            return _error(refused.code, str(refused))

    def without_key(self) -> Reply:
        """The reply to a request that has no key."""
        return _error(401, _NO_KEY)

    def credits_of(self, path: str, params: Mapping[str, str]) -> int:
        """What a request costs: a credit for each symbol."""
        return max(1, len(_names(params)))

    def too_many(self, key: str, window: float) -> Reply:
        """With status 200; that of a day's limit has no ``status`` in its body either."""
        spent = "day" if window >= _DAY else "minute"
        text = (
            f"You have run out of API credits for the {'current ' if spent == 'minute' else ''}{spent}. "
            f"{_LIMITS[spent] + 1} API credits were used, with the current limit being {_LIMITS[spent]}. Wait for the "
            f"next {spent} or consider switching to a higher tier plan at https://twelvedata.com/pricing"
        )
        return json_reply({"code": 429, "message": text, **({"status": "error"} if spent == "minute" else {})})

    def failed(self, status: int) -> Reply:
        return _error(status, responses.get(status, "Unknown Error"))

    def with_nulls(self, answer: Any, random: Random) -> Any:
        """The volumes of bars and quotes are null, and what is beside a price."""
        if not isinstance(answer, dict):
            return answer
        for entry in [answer, *(each for each in answer.values() if isinstance(each, dict))]:
            for row in [entry, *entry.get("values", [])]:
                row.update(dict.fromkeys({"volume", "previous_close"} & row.keys()))
        return answer

    def symbol_of(self, path: str, params: Mapping[str, str]) -> str:
        return params.get("symbol", "")

    def key_of(self, params: Mapping[str, str], headers: Mapping[str, str]) -> str:
        return headers.get("Authorization", "").removeprefix("apikey ") or params.get("apikey", "")


FAKE_API: Final = TwelveData()


def _error(code: int, text: str) -> Reply:
    return json_reply({"code": code, "message": text, "status": "error"}, code)


def _names(params: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys(name for part in params.get("symbol", "").split(",") if (name := part.strip())))


def _entry(view: _View, market: Market, name: str, params: Mapping[str, str]) -> dict[str, Any]:
    """An entry of a batch, which may be an error of its own."""
    try:
        return view(market, _listing(market, name), params)
    except _RefusedError as refused:
        code, text = refused.code, str(refused)
        if code == 404:
            code = 400
            text = f"**symbol** not found: {name[:40]}. Please specify it correctly according to API Documentation."
        return {"code": code, "message": text, "status": "error"}


def _listing(market: Market, name: str) -> Listing:
    name = name.upper()
    ours = _INDICES.get(name, "")
    if pair := _PAIR.fullmatch(name):
        ours = f"{pair[1]}{pair[2]}=X" if pair[1] in fx_rates() else f"{pair[1]}-{pair[2]}"
    elif not ours and (stock := _STOCK.fullmatch(name)):
        ours = f"{stock[1]}-{stock[2]}" if stock[2] else name
    try:
        return market.listing(ours)
    except UnknownError:
        raise _RefusedError(404, _MISSING) from None


def _name_of(listing: Listing) -> str:
    if listing.asset_class is AssetClass.CRYPTO:
        return listing.symbol.replace("-", "/")
    if listing.asset_class is AssetClass.FOREX:
        pair = listing.symbol.removesuffix("=X")
        return f"{pair[:3]}/{pair[3:]}"
    return next((there for there, ours in _INDICES.items() if ours == listing.symbol), listing.symbol.replace("-", "."))


def _is_pair(listing: Listing) -> bool:
    return listing.asset_class in (AssetClass.FOREX, AssetClass.CRYPTO)


def _text(listing: Listing, price: float) -> str:
    return f"{price:.{max(5, listing.decimals)}f}"


def _volume(listing: Listing, volume: int) -> dict[str, str]:
    """Pairs have none; that of an index is often zero."""
    return {} if _is_pair(listing) else {"volume": str(volume)}


def _rate(market: Market, listing: Listing, params: Mapping[str, str]) -> dict[str, Any]:
    if not _is_pair(listing):
        raise _RefusedError(404, _MISSING)
    tick = market.tick(listing)
    return {"symbol": _name_of(listing), "rate": tick.price, "timestamp": int(tick.at.timestamp())}


def _quote(market: Market, listing: Listing, params: Mapping[str, str]) -> dict[str, Any]:
    tick = market.tick(listing)
    today = market.today(listing)
    opens, closes = market.session(listing, today)
    change = tick.price - tick.previous_close
    low, high = sorted((tick.price, tick.previous_close))
    exchange = {"exchange": "Forex"} if listing.asset_class is AssetClass.FOREX else {"exchange": "Coinbase Pro"}
    if not _is_pair(listing):
        exchange = {"exchange": "NASDAQ", "mic_code": "XNGS", "currency": listing.currency}
    prices = {"open": tick.previous_close, "high": high, "low": low, "close": tick.price}
    return {
        "symbol": _name_of(listing),
        "name": listing.symbol,
        **exchange,
        "datetime": f"{today:%Y-%m-%d}",
        "timestamp": int(min(opens, tick.at).timestamp()),
        "last_quote_at": int(tick.at.timestamp()),
        **{name: _text(listing, price) for name, price in prices.items()},
        **_volume(listing, tick.volume),
        "previous_close": _text(listing, tick.previous_close),
        "change": _text(listing, change),
        "percent_change": f"{100 * change / tick.previous_close:.5f}",
        **({} if _is_pair(listing) else {"average_volume": str(tick.volume)}),
        "is_market_open": opens <= tick.at < closes,
        "fifty_two_week": _year(listing, low, high, tick.price),
        "fintrack": listing.quote_statement,
    }


def _year(listing: Listing, low: float, high: float, price: float) -> dict[str, str]:
    values = {"low": low, "high": high, "low_change": price - low, "high_change": price - high}
    return {
        **{name: _text(listing, value) for name, value in values.items()},
        "low_change_percent": f"{100 * (price / low - 1):.5f}",
        "high_change_percent": f"{100 * (price / high - 1):.5f}",
        "range": f"{low:.6f} - {high:.6f}",
    }


def _series(market: Market, listing: Listing, params: Mapping[str, str]) -> dict[str, Any]:
    interval = params.get("interval", "")
    seconds = _SECONDS.get(interval)
    if seconds is None:
        known = ", ".join(_SECONDS)
        raise _RefusedError(400, f"Invalid **interval** provided: {interval[:20]}. Supported intervals: {known}")
    zone = _zone(listing, seconds, params.get("timezone", "Exchange"))
    bars = _asked_for(market, listing, seconds, zone, params)
    if not bars:
        raise _RefusedError(400, _NO_DATA)
    form = "%Y-%m-%d" if seconds == _DAY else "%Y-%m-%d %H:%M:%S"
    values = [
        {
            "datetime": f"{bar.start.astimezone(zone):{form}}",
            **{name: _text(listing, getattr(bar, name)) for name in ("open", "high", "low", "close")},
            **_volume(listing, bar.volume),
        }
        for bar in reversed(bars)
    ]
    return {"meta": _meta(listing, interval), "values": values, "status": "ok"}


_View = Callable[[Market, Listing, Mapping[str, str]], dict[str, Any]]
_VIEWS: Final[Mapping[str, _View]] = {"quote": _quote, "time_series": _series, "exchange_rate": _rate}


def _zone(listing: Listing, seconds: int, wanted: str) -> ZoneInfo:
    """The zone of the answer's times. The parameter has no effect on daily bars; pairs without it are in UTC."""
    if seconds == _DAY:
        return listing.zone
    if wanted == "Exchange":
        return ZoneInfo("UTC") if _is_pair(listing) else listing.zone
    try:
        return ZoneInfo(wanted)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _RefusedError(400, "Invalid **timezone** provided.") from None


def _asked_for(market: Market, listing: Listing, seconds: int, zone: ZoneInfo, params: Mapping[str, str]) -> list[Bar]:
    """Both dates are wall-clock times of the answer's zone; the later one is not included."""
    dated = "start_date" in params or "end_date" in params
    end = _moment(params["end_date"], zone) if "end_date" in params else market.now() + timedelta(seconds=1)
    size = params.get("outputsize", "")
    most = min(int(size), _MOST) if _SIZE.fullmatch(size) else (_MOST if dated else _FEW)
    # So far back that even New York's short sessions give as many bars.
    reach = timedelta(days=10 + most * seconds / _DAY * (8 if seconds < _DAY else 3))
    start = max(end, _EARLIEST + reach) - reach
    if "start_date" in params:
        start = max(start, _moment(params["start_date"], zone))
    return market.bars(listing, seconds, start, end)[-most:]


def _moment(text: str, zone: ZoneInfo) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return max(moment.replace(tzinfo=zone).astimezone(UTC), _EARLIEST)
    except (ValueError, OverflowError):
        raise _RefusedError(400, "Invalid **start_date** or **end_date** provided.") from None


def _meta(listing: Listing, interval: str) -> dict[str, Any]:
    """For a pair no zone, and its currencies; the statement of intraday bars says that their path is made up."""
    name, kind = _name_of(listing), _TYPES[listing.asset_class]
    statement = listing.statement if interval == "1day" else listing.path_statement
    about: dict[str, Any] = {
        "currency": listing.currency,
        "exchange_timezone": str(listing.zone),
        "exchange": "NASDAQ",
        "mic_code": "XNGS",
    }
    if _is_pair(listing):
        base, _, quote = name.partition("/")
        about = {"currency_base": base, "currency_quote": quote}
        if listing.asset_class is AssetClass.CRYPTO:
            about["exchange"] = "Coinbase Pro"
    return {"symbol": name, "interval": interval, **about, "type": kind, "fintrack": statement}
