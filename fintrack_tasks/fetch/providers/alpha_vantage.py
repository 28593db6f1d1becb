"""Alpha Vantage: quotes and bars of stocks, currencies and crypto, with a key.

Docs: https://www.alphavantage.co/documentation/.

One path answers everything; ``function`` selects what is asked. The fields' names begin with numbers that differ from
function to function, so that they are found by the words behind the number. Limits and errors are texts at status 200.

Daily bars of stocks are asked of ``TIME_SERIES_DAILY``: ``TIME_SERIES_DAILY_ADJUSTED`` is premium, and a free key would
get no daily bar at all from it. Answers of both are understood. Intraday series reach back 30 days.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo

from fintrack_tasks.domain import (
    BATCH_LIMIT,
    AssetClass,
    Batch,
    Instrument,
    Interval,
    Kind,
    TimeRange,
    bounded_decimal,
    from_micros,
    to_micros,
)
from fintrack_tasks.errors import (
    EmptyError,
    EntitlementError,
    KeyRejectedError,
    MalformedError,
    NoPriceError,
    ProviderError,
    QuotaError,
    UnavailableRangeError,
    UnknownSymbolError,
)
from fintrack_tasks.fetch.providers.answers import (
    MISSING_NUMBER,
    MOST_ROWS,
    bars_with_close,
    decimal_or_label,
    exact_decimal,
    price_time,
    raise_for_status,
    raise_if_too_many,
    source_meta,
)
from fintrack_tasks.fetch.providers.base import JSON_HEADERS, Ask, Facts, HttpRequest, HttpResponse, KeyUse, Quota
from fintrack_tasks.fetch.providers.json_body import json_body
from fintrack_tasks.symbols import with_dotted_class

__all__ = ["PROVIDER", "AlphaVantage"]

_NEW_YORK: Final = ZoneInfo("America/New_York")
_PAIRS: Final = frozenset({AssetClass.FOREX, AssetClass.CRYPTO})
_SERIES: Final = {
    AssetClass.STOCK: ("TIME_SERIES_DAILY", "TIME_SERIES_INTRADAY"),
    AssetClass.FOREX: ("FX_DAILY", "FX_INTRADAY"),
    AssetClass.CRYPTO: ("DIGITAL_CURRENCY_DAILY", "CRYPTO_INTRADAY"),
}
_INTERVALS: Final = {"Daily": Interval.D1, "60min": Interval.H1, "15min": Interval.M15}
_LENGTHS: Final = {interval: length for length, interval in _INTERVALS.items()}
_DAYS_A_WEEK: Final = {AssetClass.STOCK: 5, AssetClass.FOREX: 6, AssetClass.CRYPTO: 7}
_COMPACT: Final = 100
"""Rows, the newest ones, of an answer to ``outputsize=compact``."""
_OPEN: Final = time(9, 30)
_CLOSE: Final = time(16)


_EVENTS: Final = {"splits": ("split coefficient", 1, ("1",)), "dividends": ("dividend amount", 0, ())}
"""Events that adjusted days of stocks carry: the field, its value on days without an event, and what completes it."""


class AlphaVantage:
    """Declared facts, :meth:`request` and :meth:`parse`."""

    facts: ClassVar[Facts] = Facts(
        name="alpha_vantage",
        base_url="https://www.alphavantage.co",
        asset_classes=frozenset(_SERIES),
        kinds=frozenset({Kind.QUOTE, Kind.BARS}),
        intervals=frozenset(Interval),
        page_size=BATCH_LIMIT,
        # The free plan's. A second request within one second is refused, whatever is left of the minute.
        quotas=(Quota(5, 60.0, burst=1), Quota(25, 86_400.0)),
        key=KeyUse(variable="API_KEY_ALPHA_VANTAGE", query="apikey"),
        headers=JSON_HEADERS,
    )

    def request(self, ask: Ask) -> HttpRequest:
        """The function for the question, and as few of its rows as hold the window."""
        pair = ask.instrument.asset_class in _PAIRS
        if ask.kind is not Kind.QUOTE and ask.window and ask.interval:
            daily, intraday = _SERIES[ask.instrument.asset_class if pair else AssetClass.STOCK]
            function = daily if ask.interval is Interval.D1 else intraday
            return _query(function, **_named(ask.instrument), **_extent(function, ask, ask.interval, ask.window))
        if pair:
            base, quote = _pair(ask.instrument)
            return _query("CURRENCY_EXCHANGE_RATE", from_currency=base, to_currency=quote)
        return _query("GLOBAL_QUOTE", **_named(ask.instrument))

    def parse(self, ask: Ask, response: HttpResponse) -> Batch:
        """The quote or the bars of an answer.

        A stock's quote names its day alone. It is stamped with the exchange's regular close of that day, or with
        ``ask.now`` where that is still to come: no price is newer than its stamp, and no stamp than the clock.
        """
        raise_for_status(response, ask.now)
        body = _object(response)
        _raise_for_text(body, ask.now)
        if response.status != 200:
            raise MalformedError(f"HTTP status {response.status}")
        if ask.kind is not Kind.QUOTE:
            return _bars(ask, body)
        return _rate(ask, body) if ask.instrument.asset_class in _PAIRS else _quote(ask, body)


PROVIDER: Final = AlphaVantage()


# --- What is asked


def _query(function: str, **params: str) -> HttpRequest:
    # A plan may include a function and not its full output: the two are entitlements of their own.
    endpoint = f"{function}/full" if params.get("outputsize") == "full" else function
    return HttpRequest("/query", {"function": function, **params, "datatype": "json"}, endpoint=endpoint)


def _named(instrument: Instrument) -> dict[str, str]:
    """The instrument as the functions of series call it."""
    if instrument.asset_class not in _PAIRS:
        return {"symbol": with_dotted_class(instrument.symbol)}
    names = ("from_symbol", "to_symbol") if instrument.asset_class is AssetClass.FOREX else ("symbol", "market")
    return dict(zip(names, _pair(instrument), strict=True))


def _pair(instrument: Instrument) -> tuple[str, str]:
    if instrument.asset_class is AssetClass.CRYPTO:
        base, _, quote = instrument.symbol.partition("-")
        return base, quote or "USD"
    text = instrument.symbol.removesuffix("=X").replace("/", "")
    return (text[:3], text[3:]) if len(text) > 3 else ("USD", text)  # Yahoo's short form counts from the dollar


def _extent(function: str, ask: Ask, interval: Interval, window: TimeRange) -> dict[str, str]:
    """How many rows are wanted; ``DIGITAL_CURRENCY_DAILY`` gives what it has."""
    if function == "DIGITAL_CURRENCY_DAILY":
        return {}
    # Some rows to spare: the oldest then lies before the window, and shows that none is missing in it.
    size = {"outputsize": "compact" if _most_bars(ask, interval, window) <= _COMPACT - 5 else "full"}
    if interval is Interval.D1:
        return size
    # As traded and in regular hours, as the daily bars are.
    own = {"adjusted": "false", "extended_hours": "false"} if function == "TIME_SERIES_INTRADAY" else {}
    return {"interval": _LENGTHS[interval], **size, **own}


def _most_bars(ask: Ask, interval: Interval, window: TimeRange) -> int:
    """No fewer bars than there can be between the window's start and now."""
    elapsed = ask.now - window.start
    per_week = _DAYS_A_WEEK.get(ask.instrument.asset_class, 5)
    weeks, rest = divmod(elapsed.days + 2, 7)
    days = weeks * per_week + min(rest, per_week)
    a_day = timedelta(hours=7 if per_week == 5 else 24) // interval.delta or 1
    return min(elapsed // interval.delta + 2, days * a_day)


# --- Texts in place of rows


_TEXTS: Final = frozenset({"note", "information", "error message", "message"})
_LONGEST_TEXT: Final = 2000
_MEANINGS: Final[tuple[tuple[re.Pattern[str], Callable[[datetime], ProviderError]], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        (r"\bartificial\b", lambda _: EntitlementError("artificial rows, a sample of a premium function")),
        (r"apikey is invalid|for demo purposes", lambda _: KeyRejectedError("the key is invalid or missing")),
        (r"invalid api call", lambda _: UnknownSymbolError("an invalid call, as of a symbol that is not known")),
        # The texts of limits advertise premium plans too, and that of a burst names the daily limit beside its own.
        (r"is a premium|to access|entitled", lambda _: EntitlementError("a premium function or parameter")),
        (r"spreading out|per second|per minute", lambda _: QuotaError("the burst or minute limit", retry_after=60.0)),
        (r"per day|\bdaily\b", lambda now: QuotaError("the daily limit", retry_after=_until_midnight(now))),
        (r"call frequency|call volume|rate limit", lambda _: QuotaError("a limit of calls", retry_after=60.0)),
        (r"premium", lambda _: EntitlementError("a premium function or parameter")),
    )
)
"""What a text means, the narrower patterns first. None is quoted: the daily limit's carries the caller's key."""


def _raise_for_text(body: Mapping[str, Any], now: datetime) -> None:
    for name, text in body.items():
        if name.lower() not in _TEXTS:
            continue
        for pattern, meaning in _MEANINGS:
            if pattern.search(str(text)[:_LONGEST_TEXT]):
                raise meaning(now)
        if name.lower() != "message":
            raise MalformedError(f"{name} has a text of unknown meaning")


def _until_midnight(now: datetime) -> float:
    """Seconds until the day ends in New York, where the daily count begins anew."""
    following = now.astimezone(_NEW_YORK).date() + timedelta(days=1)
    # Subtracted in UTC: between two times of one zone Python does not count the hour that a change of clocks moves.
    midnight = datetime.combine(following, time(), _NEW_YORK).astimezone(UTC)
    return (midnight - now.astimezone(UTC)).total_seconds()


def _object(response: HttpResponse) -> Mapping[str, Any]:
    # Not quoted: a text that was cut may be the one with the caller's key.
    body = json_body(response, quoted=False)
    if isinstance(body, dict):
        return body
    raise MalformedError("an answer that is no object")


# --- Quotes


def _words(value: object, name: str) -> dict[str, Any]:
    """An object by the words of its keys: ``05. price`` and ``5. Price`` are both ``price``."""
    if not isinstance(value, dict):
        raise MalformedError(f"{name} is no object")
    found: dict[str, Any] = {}
    for key, member in value.items():
        word = re.sub(r"^[0-9]+[a-z]?\. *", "", key).lower()
        if found.setdefault(word, member) != member:
            raise MalformedError(f"{name} says two things of {word!r:.40}")
    return found


def _same(ask: Ask, fields: Mapping[str, Any], *names: str) -> None:
    """An answer must be of the instrument that was asked for."""
    symbol = "/".join(str(fields.get(name)) for name in names)
    wanted = "/".join(_pair(ask.instrument)) if ask.instrument.asset_class in _PAIRS else ask.instrument.symbol
    if symbol.upper().replace(".", "-") != wanted.replace(".", "-"):
        raise MalformedError(f"an answer for {symbol!r:.30} where {wanted:.30} was asked for")


def _quote(ask: Ask, body: Mapping[str, Any]) -> Batch:
    root = next((name for name in body if name.startswith("Global Quote")), "Global Quote")
    fields = _words(body.get(root), root[:40])
    if not fields:
        raise UnknownSymbolError("an empty quote, as of a symbol that is not known")
    _same(ask, fields, "symbol")
    columns = {
        "price": _price(fields, "price"),
        "volume": exact_decimal(fields.get("volume"), "volume"),
        **{name: _beside(fields, name.replace("_", " ")) for name in ("previous_close", "open", "high", "low")},
    }
    return _one(ask, _closed(_date(fields.get("latest trading day")), ask.now), columns, fields)


def _closed(day: date, now: datetime) -> datetime:
    if day > now.astimezone(_NEW_YORK).date():
        raise MalformedError(f"latest trading day is yet to come: {day}")
    return min(datetime.combine(day, _CLOSE, _NEW_YORK).astimezone(UTC), now)


def _rate(ask: Ask, body: Mapping[str, Any]) -> Batch:
    fields = _words(body.get("Realtime Currency Exchange Rate"), "Realtime Currency Exchange Rate")
    _same(ask, fields, "from_currency code", "to_currency code")
    columns = {
        "price": _price(fields, "exchange rate"),
        "volume": None,
        "bid": _beside(fields, "bid price"),
        "ask": _beside(fields, "ask price"),
    }
    return _one(ask, _instant(fields.get("last refreshed"), _zone(fields.get("time zone"))), columns, fields)


def _one(ask: Ask, at: datetime, columns: Mapping[str, str | None], fields: Mapping[str, Any]) -> Batch:
    return Batch(
        kind=ask.kind,
        symbol=ask.instrument.symbol,
        source=AlphaVantage.facts.name,
        currency=_currency(ask),
        columns={
            "timestamp": [price_time(to_micros(at), "the time of a quote")],
            **{name: [value] for name, value in columns.items()},
        },
        meta=source_meta(fields, zone="time zone"),
    )


def _price(fields: Mapping[str, Any], name: str) -> str:
    text = exact_decimal(fields.get(name), name)
    if text is None:
        raise MalformedError(f"a quote without {name}")
    if float(text) <= 0:
        raise NoPriceError(f"a price of {text:.20}")
    return text


def _beside(fields: Mapping[str, Any], name: str) -> str | None:
    """A price beside the main one; ``-`` and zero are words for "none"."""
    value = fields.get(name)
    text = None if value == "-" else exact_decimal(value, name)
    return text if text is not None and float(text) > 0 else None


def _currency(ask: Ask) -> str | None:
    """The second of a pair; ``None`` for a stock, of which Alpha Vantage does not name it."""
    return _pair(ask.instrument)[1] if ask.instrument.asset_class in _PAIRS else None


# --- Bars


def _bars(ask: Ask, body: Mapping[str, Any]) -> Batch:
    interval = ask.interval or Interval.D1
    series = _series(body, interval)
    meta = _words(body.get("Meta Data"), "Meta Data")
    names = {
        AssetClass.FOREX: ("from symbol", "to symbol"),
        AssetClass.CRYPTO: ("digital currency code", "market code"),
    }
    _same(ask, meta, *names.get(ask.instrument.asset_class, ("symbol",)))
    rows = _stamped(series, meta, interval)
    _raise_if_cut(ask, rows, meta)
    inside = {stamp: row for stamp, row in rows.items() if ask.covers(stamp)}
    if not inside:
        raise EmptyError("no bars in this range")
    raise_if_too_many(len(inside))
    bars = {stamp: _bar(row, meta) for stamp, row in inside.items()}
    order, left_out = bars_with_close({stamp: [bar["close"]] for stamp, bar in bars.items()}, close=0)
    table = [bars[stamp] for stamp in order]
    events = {
        name: found for name in _EVENTS if (found := [e for stamp in sorted(inside) for e in _event(name, stamp, rows)])
    }
    return Batch(
        kind=ask.kind,
        symbol=ask.instrument.symbol,
        source=AlphaVantage.facts.name,
        currency=_currency(ask),
        interval=interval,
        columns={"timestamp": order, **{name: [row[name] for row in table] for name in table[0]}},
        meta={
            **source_meta(meta, zone="time zone"),
            **left_out,
            **({"zone": _NEW_YORK.key, **events} if events else {}),
        },
    )


def _series(body: Mapping[str, Any], interval: Interval) -> Mapping[str, Any]:
    """The rows by their times, from ``Time Series FX (Daily)`` and its like; the parentheses name their length."""
    name = next((name for name in body if name.startswith("Time Series")), "")
    rows = body.get(name)
    if not isinstance(rows, dict) or len(rows) > MOST_ROWS:
        raise MalformedError("an answer without its time series, or with far too much of it")
    length = re.split(r"[ (]", name.rstrip(")"))[-1]
    if _INTERVALS.get(length) is not interval:
        raise MalformedError(f"bars of {length!r:.20} where {interval.value} was asked for")
    return rows


def _stamped(series: Mapping[str, Any], meta: Mapping[str, Any], interval: Interval) -> dict[int, Any]:
    """The rows by their stamps: midnight UTC of the local date for days, the instant of opening for others."""
    if interval is Interval.D1:
        return {to_micros(datetime.combine(_date(key), time(), UTC)): row for key, row in series.items()}
    zone = _zone(meta.get("time zone"))
    rows = {to_micros(_instant(key, zone)): row for key, row in series.items()}
    if any(stamp % 900_000_000 for stamp in rows):
        raise MalformedError(f"a bar at a time where none of {interval.value} opens")
    return rows


def _raise_if_cut(ask: Ask, rows: Mapping[int, Any], meta: Mapping[str, Any]) -> None:
    """Refuse the newest rows alone where the window begins earlier: the days before must not count as without a bar."""
    whole = ask.interval is Interval.D1 and str(meta.get("output size")).lower().startswith("full")
    if ask.window and not whole and len(rows) >= _COMPACT and min(rows) > to_micros(ask.window.start):
        first = from_micros(min(rows))
        raise UnavailableRangeError(f"an answer that reaches back to {first:%Y-%m-%d} alone", earliest=first)


def _bar(row: object, meta: Mapping[str, Any]) -> dict[str, str | None]:
    fields = _words(row, "a bar")
    market = str(meta.get("market code")).lower()

    # Bars of crypto had "1a. open (CNY)" beside "1b. open (USD)" for years.
    def value(name: str) -> str | None:
        return exact_decimal(fields.get(name, fields.get(f"{name} ({market})")), name)

    prices = ("open", "high", "low", "close")
    if absent := [name for name in prices if not fields.keys() & {name, f"{name} ({market})"}]:
        raise MalformedError(f"a bar without {', '.join(absent)}")
    return {**{name: value(name) for name in prices}, "adj_close": value("adjusted close"), "volume": value("volume")}


def _event(name: str, stamp: int, rows: Mapping[int, Any]) -> Iterator[list[Any]]:
    """The event of an adjusted day: ``[time, numerator, 1]`` of a split, ``[time, amount]`` of a dividend.

    Every day has both fields, ``1.0`` and ``0.0000`` without an event.
    """
    field, nothing, rest = _EVENTS[name]
    fields = _words(rows[stamp], "a bar")
    if field in fields and bounded_decimal(value := decimal_or_label(fields[field]) or MISSING_NUMBER) != nothing:
        opens = datetime.combine(from_micros(stamp).date(), _OPEN, _NEW_YORK)
        yield [to_micros(opens), value, *rest]


# --- Times


def _date(text: object) -> date:
    if isinstance(text, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise MalformedError(f"no date: {text!r:.40}")


def _instant(text: object, zone: tzinfo) -> datetime:
    """The instant of a wall clock's time; of an hour that the clock shows twice the first."""
    if isinstance(text, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}", text):
        try:
            local = datetime.fromisoformat(text).replace(tzinfo=zone)
            instant = local.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        else:
            if instant.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
                return instant
    raise MalformedError(f"no time of that zone: {text!r:.40}")


def _zone(name: object) -> tzinfo:
    """The zone of an answer: New York's, or hours east of Greenwich."""
    if name == "US/Eastern":
        return _NEW_YORK
    match = re.fullmatch(r"(?:UTC|GMT)(?:([+-])([0-9]{1,2}))?", name) if isinstance(name, str) else None
    if match is None or int(match[2] or 0) > 14:
        raise MalformedError(f"Time Zone is no zone: {name!r:.40}")
    hours = int(match[2] or 0)
    return timezone(timedelta(hours=-hours if match[1] == "-" else hours))
