"""Yahoo Finance: quotes and bars of stocks, indices, currencies and crypto, without a key.

``v8/finance/chart`` answers both: its ``meta`` carries the current price without the cookie and crumb that
``v7/finance/quote`` asks for today. Bodies of ``v7`` are understood as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, ClassVar, Final
from urllib.parse import quote as quote_url
from zoneinfo import ZoneInfo

from fintrack_tasks.domain import BATCH_LIMIT, AssetClass, Batch, Interval, Kind, from_micros, split_ratio, to_micros
from fintrack_tasks.errors import (
    EmptyError,
    EntitlementError,
    MalformedError,
    NoPriceError,
    QuotaError,
    TransientError,
    UnavailableRangeError,
    UnknownSymbolError,
)
from fintrack_tasks.fetch.providers.answers import (
    MISSING_NUMBER,
    MOST_ROWS,
    column,
    currency,
    decimal_or_label,
    epoch_micros,
    exact_decimal,
    positive_decimal,
    price_time,
    raise_for_status,
    raise_if_too_many,
    source_meta,
    text,
    time_zone,
)
from fintrack_tasks.fetch.providers.base import Ask, Facts, HttpRequest, HttpResponse, Quota, first_kept
from fintrack_tasks.fetch.providers.json_body import json_body
from fintrack_tasks.fetch.providers.live_rows import is_snapshot, merged, newer

__all__ = ["PROVIDER", "YahooFinance"]

_GRANULARITY: Final = {Interval.D1: "1d", Interval.H1: "1h", Interval.M15: "15m"}
_GRANULARITIES: Final = {Interval.D1: {"1d"}, Interval.H1: {"1h", "60m"}, Interval.M15: {"15m"}}
_NO_DATA: Final = b"Data doesn't exist for startDate"
_NOT_KEPT: Final = re.compile(r"data not available for startTime|within the last [0-9]+ days|days worth of", re.ASCII)
_KEPT_DAYS: Final = re.compile(r"must be within the last ([0-9]{1,5}) days", re.ASCII)
_TOO_MANY: Final = b"Too Many Requests"
_ENDPOINT: Final = "v8/finance/chart"
_LIVE: Final = 60_000_000
"""Microseconds: an older row without trade is none of a bar that has just opened."""
_PRICES: Final = ("open", "high", "low", "close")
_CLOSE: Final = _PRICES.index("close")
_PAID: Final = ("amount",)
_EVENTS: Final = (
    ("splits", "splits", ("numerator", "denominator")),
    ("dividends", "dividends", _PAID),
    ("capitalGains", "capital_gains", _PAID),
)
"""Yahoo's name of a group of events, the name in ``meta``, and the numbers that make an event."""
# A plain client's User-Agent is often answered 429.
_BROWSER: Final = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)

_Values = list[str | None]
"""Open, high, low, close, adj_close and volume of a bar, as the provider gave them."""


class YahooFinance:
    """Declared facts, :meth:`request` and :meth:`parse`."""

    facts: ClassVar[Facts] = Facts(
        name="yahoo_finance",
        base_url="https://query1.finance.yahoo.com",
        asset_classes=frozenset(AssetClass),
        kinds=frozenset(Kind),
        intervals=frozenset(Interval),
        page_size=1000,
        kept_days={Interval.H1: 730, Interval.M15: 60},
        # Not published; a rate that is commonly held to be safe.
        quotas=(Quota(5, 1.0), Quota(100, 60.0)),
        headers={"User-Agent": _BROWSER, "Accept": "application/json"},
    )

    def request(self, ask: Ask) -> HttpRequest:
        """A chart: one day for a quote, the window's bars with splits, dividends and capital gains otherwise."""
        path = f"/{_ENDPOINT}/{quote_url(ask.instrument.symbol, safe='')}"
        if ask.kind is Kind.QUOTE or ask.window is None or ask.interval is None:
            return HttpRequest(path, {"interval": "1d", "range": "1d"}, endpoint=_ENDPOINT)
        # A daily bar is stamped at the session's open, which may fall on a neighbouring UTC date (Sydney, Auckland).
        margin = timedelta(days=1) if ask.interval is Interval.D1 else timedelta(0)
        return HttpRequest(
            path,
            {
                "interval": _GRANULARITY[ask.interval],
                "period1": str(_seconds(ask.window.start - margin)),
                "period2": str(_seconds(ask.window.end + margin)),
                "events": "div,splits,capitalGains",
            },
            endpoint=_ENDPOINT,
        )

    def parse(self, ask: Ask, response: HttpResponse) -> Batch:
        """The quote or the bars of an answer."""
        raise_for_status(response, ask.now)
        # Plain text, where it is easily taken for a crumb; "Edge: Too Many Requests" was seen as well.
        if response.body.lstrip()[:1] != b"{" and _TOO_MANY in response.body[:200]:
            raise QuotaError(f"Too Many Requests, under the status {response.status}")
        if response.status in (400, 422) and _NO_DATA in response.body:
            raise EmptyError("no data for this range")
        if response.status == 401:
            # There is no key that could be wrong: a crumb that ran out, an address in disfavour. It passes.
            raise TransientError(f"401 without a key: {response.body[:120].decode('ascii', errors='replace')!r}")
        root, result = _result(ask, response)
        if ask.kind is Kind.QUOTE:
            return _quote(ask, result if root == "quoteResponse" else _member(result, "meta"))
        if root == "quoteResponse":
            raise MalformedError("a quote where a chart was asked for")
        return _bars(ask, result)


PROVIDER: Final = YahooFinance()


def _seconds(moment: datetime) -> int:
    return to_micros(moment) // 1_000_000


def _result(ask: Ask, response: HttpResponse) -> tuple[str, Mapping[str, Any]]:
    """The root's name and the symbol's result; an error's root may be ``chart``, ``finance``, ``spark`` or another."""
    body = json_body(response)
    if not isinstance(body, dict) or len(body) != 1:
        raise MalformedError("an answer without a single root")
    [(root, content)] = body.items()
    if not isinstance(content, dict):
        raise MalformedError(f"{root!r:.20} holds no object")
    if error := content.get("error"):
        _raise(ask, error, response.status)
    results = content.get("result")
    if root == "quoteResponse" and isinstance(results, list):
        results = [each for each in results if _is_of(ask, each)]
        if not results:
            raise UnknownSymbolError("the symbol was left out of the answer")
    if not isinstance(results, list) or not results or not isinstance(results[0], dict):
        raise MalformedError(f"{root!r:.20} holds no result")
    if root not in ("chart", "quoteResponse"):
        raise MalformedError(f"an answer of {root!r:.20}")
    if response.status != 200:
        raise MalformedError(f"HTTP status {response.status} with a result")
    return root, results[0]


def _raise(ask: Ask, error: object, status: int) -> None:
    code = error.get("code") if isinstance(error, dict) else None
    text = error.get("description") if isinstance(error, dict) else error
    message = " ".join(f"{code}: {text}".split())[:200]
    if code == "Not Found" or status == 404:
        raise UnknownSymbolError(message)
    if code == "Unauthorized":
        raise TransientError(message)
    if status == 403:
        raise EntitlementError(message)
    # Any other refusal of a range (an end before its start) is one of a question that was wrong.
    if ask.kind is not Kind.QUOTE and _NOT_KEPT.search(message):
        kept = _KEPT_DAYS.search(message)
        raise UnavailableRangeError(message, earliest=first_kept(ask.now, int(kept[1])) if kept else None)
    raise MalformedError(message)


def _member(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    member = value.get(name)
    if not isinstance(member, dict):
        raise MalformedError(f"{name} is no object")
    return member


def _quote(ask: Ask, meta: Mapping[str, Any]) -> Batch:
    _same_symbol(ask, meta)
    if meta.get("quoteType") == "NONE":
        raise UnknownSymbolError("the symbol is delisted: quoteType NONE")
    price = exact_decimal(meta.get("regularMarketPrice"), "regularMarketPrice")
    if price is None:
        raise NoPriceError("no regularMarketPrice")
    stamp = price_time(epoch_micros(meta.get("regularMarketTime"), "regularMarketTime"), "regularMarketTime")
    previous = meta.get("regularMarketPreviousClose", meta.get("previousClose", meta.get("chartPreviousClose")))
    # Futures and yields may be at or below zero; for everything else zero means that there is no price.
    signed = ask.instrument.is_signed
    beside = exact_decimal if signed else positive_decimal
    columns = {
        "price": price,
        "volume": exact_decimal(meta.get("regularMarketVolume"), "regularMarketVolume"),
        "previous_close": beside(previous, "previousClose"),
        "open": beside(meta.get("regularMarketOpen"), "regularMarketOpen"),
        "high": beside(meta.get("regularMarketDayHigh"), "regularMarketDayHigh"),
        "low": beside(meta.get("regularMarketDayLow"), "regularMarketDayLow"),
        "bid": beside(meta.get("bid"), "bid"),
        "ask": beside(meta.get("ask"), "ask"),
    }
    if float(price) <= 0 and not signed:
        raise NoPriceError(f"a price of {price}")
    return Batch(
        kind=Kind.QUOTE,
        symbol=ask.instrument.symbol,
        source=YahooFinance.facts.name,
        currency=currency(meta.get("currency"), "currency"),
        columns={"timestamp": [stamp], **{name: [value] for name, value in columns.items()}},
        meta=source_meta(meta, zone="exchangeTimezoneName", exchange="exchangeName"),
    )


def _bars(ask: Ask, result: Mapping[str, Any]) -> Batch:
    meta = _member(result, "meta")
    interval = ask.interval or Interval.D1
    _same_symbol(ask, meta)
    _same_interval(interval, meta)
    rows = _rows(_stamps(result), _member(result, "indicators"))
    zone = time_zone(meta.get("exchangeTimezoneName"), "exchangeTimezoneName")
    bars, left_out = _kept(ask, _opened(rows, interval, zone, _regular_start(meta)), _traded(meta))

    def belongs(stamp: int) -> bool:
        return ask.covers(_session(stamp, zone) if interval is Interval.D1 else stamp)

    events = _events(result.get("events"), belongs)
    order = sorted(bars)
    return Batch(
        kind=ask.kind,
        symbol=ask.instrument.symbol,
        source=YahooFinance.facts.name,
        currency=currency(meta.get("currency"), "currency"),
        interval=interval,
        columns={
            "timestamp": order,
            **{name: [bars[opens][i] for opens in order] for i, name in enumerate((*_PRICES, "adj_close", "volume"))},
        },
        meta={
            **source_meta(meta, zone="exchangeTimezoneName", exchange="exchangeName"),
            **_adjusted(ask, meta, zone, events, order[-1]),
            **events,
            **({"left_out": left_out} if left_out else {}),
        },
    )


def _same_interval(interval: Interval, meta: Mapping[str, Any]) -> None:
    granularity = text(meta.get("dataGranularity"), "dataGranularity")
    if granularity is not None and granularity not in _GRANULARITIES[interval]:
        raise MalformedError(f"bars of {granularity!r:.10} where {interval.value} was asked for")


def _stamps(result: Mapping[str, Any]) -> list[Any]:
    stamps = result.get("timestamp")
    if stamps is None or stamps == []:
        raise EmptyError("no bars in this range")
    if not isinstance(stamps, list) or len(stamps) > MOST_ROWS:
        raise MalformedError("timestamp is no list of bars' times")
    return stamps


def _kept(ask: Ask, opened: Iterable[tuple[int, int, _Values]], traded: int | None) -> tuple[dict[int, _Values], int]:
    """The bars inside the window by their opening, and how many were left out because they have no price of their own.

    :param traded: the time of the last trade, at which a snapshot of a closed market is stamped.
    """
    rows = [each for each in opened if ask.covers(each[0])]
    # Only a bar without a close is left out: another price that is null is unknown, as the checks report.
    bars = _joined(ask, (each for each in rows if each[2][_CLOSE] is not None))
    # After the close a row of the last price may come without its bar, when that was not asked for or does not exist.
    kept = {opens: row for opens, (stamp, row) in bars.items() if not _stands_still(ask, opens, stamp, row, traded)}
    left_out = sum(values[_CLOSE] is None for _, _, values in rows) + len(bars) - len(kept)
    if not kept:
        if left_out:
            raise NoPriceError(f"no complete bars in this range ({left_out} without a price)")
        raise EmptyError("no bars in this range")
    raise_if_too_many(len(kept))
    return kept, left_out


def _joined(ask: Ask, opened: Iterable[tuple[int, int, _Values]]) -> dict[int, tuple[int, _Values]]:
    """One row for each opening, with its last stamp.

    Of two rows of one opening the later is live: a part of an intraday bar, or the day so far. Two rows of one
    stamp that differ are no answer.
    """
    join = newer if ask.interval is Interval.D1 else merged
    bars: dict[int, tuple[int, _Values]] = {}
    for opens, stamp, values in opened:
        if opens not in bars:
            bars[opens] = (stamp, values)
        elif stamp != bars[opens][0]:
            (_, first), (last, second) = sorted((bars[opens], (stamp, values)), key=itemgetter(0))
            bars[opens] = (last, join(first, second))
        elif values != bars[opens][1]:
            raise MalformedError(f"two bars at {stamp // 1_000_000} that differ")
    return bars


def _stands_still(ask: Ask, opens: int, stamp: int, row: _Values, traded: int | None) -> bool:
    """Whether an intraday row is a snapshot of a market without trade, which would pass for a bar that has closed."""
    if ask.interval is Interval.D1:
        return False
    return (stamp != opens or stamp == traded) and is_snapshot(row) and to_micros(ask.now) - stamp >= _LIVE


def _rows(stamps: list[Any], indicators: Mapping[str, Any]) -> list[tuple[int, _Values]]:
    """Stamp, then open, high, low, close, adj_close and volume, as the provider gave them."""
    length = len(stamps)
    prices = _first(indicators, "quote")
    if absent := [name for name in _PRICES if prices.get(name) is None]:
        raise MalformedError(f"bars without {', '.join(absent)}")
    adjusted = _first(indicators, "adjclose") if indicators.get("adjclose") else {}
    names = [(prices, name) for name in _PRICES] + [(adjusted, "adjclose"), (prices, "volume")]
    columns = [column(source.get(name), length, name) for source, name in names]
    return [
        (
            epoch_micros(stamp, "timestamp"),
            [exact_decimal(values[i], name) for values, (_, name) in zip(columns, names, strict=True)],
        )
        for i, stamp in enumerate(stamps)
    ]


def _first(indicators: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    values = indicators.get(name)
    if not isinstance(values, list) or not values or not isinstance(values[0], dict):
        raise MalformedError(f"indicators.{name} holds no object")
    return values[0]


def _session(stamp: int, zone: ZoneInfo) -> int:
    """Midnight UTC of the exchange's local date: the offset of that day, never that of the day of recording."""
    local = from_micros(stamp).astimezone(zone)
    return to_micros(datetime(local.year, local.month, local.day, tzinfo=UTC))


def _opened(
    rows: Iterable[tuple[int, _Values]], interval: Interval, zone: ZoneInfo, anchor: int | None
) -> Iterator[tuple[int, int, _Values]]:
    """Rows with their openings; an intraday bar's is the anchor of the next, the session's start that of the first."""
    for stamp, values in rows:
        anchor = _session(stamp, zone) if interval is Interval.D1 else _on_grid(stamp, anchor, interval)
        yield anchor, stamp, values


def _on_grid(stamp: int, anchor: int | None, interval: Interval) -> int:
    """When an intraday bar opens. A live one is stamped with its last trade: it opens whole intervals after ``anchor``.

    Every closed bar of an hour or a quarter lies on a quarter of an hour, and none opens inside the one before.
    """
    step = interval.delta // timedelta(microseconds=1)
    if anchor is None or (stamp % 900_000_000 == 0 and not 0 < stamp - anchor < step):
        return stamp
    return anchor + (stamp - anchor) // step * step


def _regular_start(meta: Mapping[str, Any]) -> int | None:
    """The start of the current regular session, microseconds; ``None`` where the answer does not say."""
    period = meta.get("currentTradingPeriod")
    regular = period.get("regular") if isinstance(period, dict) else None
    start = regular.get("start") if isinstance(regular, dict) else None
    return None if start is None else epoch_micros(start, "currentTradingPeriod.regular.start")


def _is_of(ask: Ask, quote: object) -> bool:
    symbol = quote.get("symbol") if isinstance(quote, dict) else None
    return isinstance(symbol, str) and symbol.upper() == ask.instrument.symbol


def _same_symbol(ask: Ask, meta: Mapping[str, Any]) -> None:
    symbol = text(meta.get("symbol"), "symbol")
    if symbol is not None and symbol.upper() != ask.instrument.symbol:
        raise MalformedError(f"an answer for {symbol:.20} where {ask.instrument.symbol} was asked for")


def _events(events: object, belongs: Callable[[int], bool]) -> dict[str, list[list[Any]]]:
    """Splits as ``[time, numerator, denominator]``; dividends and capital gains as ``[time, amount]``, followed by the
    currency where the event names one of its own. ``events`` may be null.

    One of a day that was asked for as a margin alone is left out. What an event's numbers are worth, and whether it has
    any, is judged by the checks.
    """
    found: dict[str, list[list[Any]]] = {}
    for name, told_as, fields in _EVENTS:
        group = _group(_group(events, "events").get(name), name)
        if len(group) > BATCH_LIMIT:
            raise MalformedError(f"{len(group)} {name}, more than a window has days")
        rows = [_event(each, name, fields) for each in group.values()]
        if inside := [row for row in rows if belongs(row[0])]:
            found[told_as] = sorted(inside)
    return found


def _group(value: object, name: str) -> Mapping[str, Any]:
    """The members of an object that may be null or empty, an empty list among them.

    :raises MalformedError: for anything else, so that no event is lost unnoticed.
    """
    if not value and (value is None or isinstance(value, list)):
        return {}
    if not isinstance(value, dict):
        raise MalformedError(f"{name} is no object: {value!r:.40}")
    return value


def _event(event: object, name: str, fields: Sequence[str]) -> list[Any]:
    if not isinstance(event, dict):
        raise MalformedError(f"one of {name} is no object: {event!r:.40}")
    own = decimal_or_label(event.get("currency")) if fields == _PAID else None
    numbers = [decimal_or_label(event.get(field)) or MISSING_NUMBER for field in fields]
    return [epoch_micros(event.get("date"), f"{name}.date"), *numbers, *([own] if own else [])]


def _adjusted(
    ask: Ask, meta: Mapping[str, Any], zone: ZoneInfo, events: Mapping[str, list[list[Any]]], newest: int
) -> dict[str, str]:
    """Up to which date Yahoo has restated prices and dividends for splits: that of its last trade, of a split told, or
    of the newest bar, whichever is the latest. A last trade that is older than the bars beside it is a stale one.

    By the answer's own times, so that it means the same when it is read again later. A source that makes a statement
    about itself is a sandbox's, whose prices are as they were traded.
    """
    if ask.instrument.asset_class is not AssetClass.STOCK or isinstance(meta.get("fintrack"), dict):
        return {}
    traded = _traded(meta)
    now = to_micros(ask.now)
    stamps = [now if traded is None else min(traded, now)]  # a trade that is still to come is none
    stamps += [stamp for stamp, *numbers in events.get("splits", ()) if split_ratio(*numbers)]
    last_bar = from_micros(newest).astimezone(UTC if ask.interval is Interval.D1 else zone).date()
    return {"adjusted_to": max(from_micros(max(stamps)).astimezone(zone).date(), last_bar).isoformat()}


def _traded(meta: Mapping[str, Any]) -> int | None:
    """The time of the last trade, microseconds; ``None`` where the answer does not say."""
    seconds = meta.get("regularMarketTime")
    return None if seconds is None else epoch_micros(seconds, "regularMarketTime")
