"""Twelve Data: quotes and bars of stocks and indices, quotes of currencies and crypto, up to eight symbols at once.

Docs: https://twelvedata.com/docs. Times of bars are local to ``meta.exchange_timezone``. ``timezone=UTC`` is not asked
for: the answer would still name the exchange's zone, so that nothing in it would show which zone its times are in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo

from fintrack_tasks.domain import BATCH_LIMIT, AssetClass, Batch, Instrument, Interval, Kind, to_micros
from fintrack_tasks.errors import (
    EmptyError,
    EntitlementError,
    KeyRejectedError,
    MalformedError,
    ProviderError,
    QuotaError,
    TransientError,
    UnavailableRangeError,
    UnknownSymbolError,
)
from fintrack_tasks.fetch.providers.answers import (
    MOST_ROWS,
    bars_with_close,
    currency,
    epoch_micros,
    exact_decimal,
    positive_decimal,
    price_time,
    raise_for_status,
    raise_if_too_many,
    retry_after,
    source_meta,
    time_zone,
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

__all__ = ["PROVIDER", "TwelveData"]

_INTERVAL: Final = {Interval.D1: "1day", Interval.H1: "1h", Interval.M15: "15min"}
_PRICES: Final = ("open", "high", "low", "close")
_BESIDE: Final = ("previous_close", "open", "high", "low")
_INDICES: Final = {"^GSPC": "SPX", "^DJI": "DJI", "^IXIC": "IXIC", "^NDX": "NDX", "^RUT": "RUT", "^VIX": "VIX"}
_STOCK: Final = re.compile(r"[A-Z0-9]+(-[A-Z])?")
_CRYPTO: Final = re.compile(r"[A-Z0-9]+-[A-Z0-9]+")
_PAIRS: Final = frozenset({AssetClass.FOREX, AssetClass.CRYPTO})
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_QUARTER: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:(00|15|30|45):00", re.ASCII)
_PLAN: Final = ("available starting with", "available exclusively with", "consider upgrading", "upgrade your plan")
_SYMBOLS_PLAN: Final = "this symbol is available"
_KEPT_DAYS: Final = 60
"""Intraday bars reach back some months or years, differently for each symbol: these days surely."""
_NO_DATA: Final = "no data is available"


class TwelveData:
    """Declared facts, :meth:`request` and :meth:`parse`; :meth:`request_many` and :meth:`parse_many`."""

    facts: ClassVar[Facts] = Facts(
        name="twelve_data",
        base_url="https://api.twelvedata.com",
        asset_classes=frozenset(AssetClass) - {AssetClass.COMMODITY},  # spot prices alone, under names of their own
        kinds=frozenset(Kind),
        intervals=frozenset(Interval),
        page_size=BATCH_LIMIT,
        quotas=(Quota(8, 60.0), Quota(800, 86_400.0)),
        symbols_per_request=8,
        key=KeyUse(variable="API_KEY_TWELVE_DATA", header="Authorization", prefix="apikey "),
        headers=JSON_HEADERS,
        # The times of a pair's bars come without a zone.
        without=frozenset((pair, kind) for pair in _PAIRS for kind in (Kind.BARS, Kind.INDEX)),
    )

    def request(self, ask: Ask) -> HttpRequest:
        """The rate of currencies, the quote of all else, or the window's bars.

        :raises UnknownSymbolError: for what has no sure name there; no answer need be fetched to know it.
        """
        if ask.kind is Kind.QUOTE and ask.instrument.asset_class is AssetClass.FOREX:
            return _request("exchange_rate", [ask])
        return self.request_many([ask])

    def request_many(self, asks: Sequence[Ask]) -> HttpRequest:
        """One request for questions of one kind, interval and window; each symbol that it names costs a credit.

        An instrument without a sure name there is left out; :meth:`parse_many` gives an error for it.

        :raises UnknownSymbolError: when nothing is left to ask for.
        :raises ValueError: for more than a request may hold, or questions that differ in more than their instrument.
        """
        if len(asks) > self.facts.symbols_per_request:
            raise ValueError(f"{len(asks)} questions in one request")
        if len({(ask.kind, ask.interval, ask.window) for ask in asks}) != 1:
            raise ValueError("the questions of a batch differ in more than their instrument")
        return _request("quote" if asks[0].kind is Kind.QUOTE else "time_series", asks)

    def parse(self, ask: Ask, response: HttpResponse) -> Batch:
        """The quote or the bars of an answer."""
        return _rows(ask, _body(response, ask.now), response.status)

    def parse_many(self, asks: Sequence[Ask], response: HttpResponse) -> list[Batch | ProviderError]:
        """For each question its rows, or the error that its entry means.

        :raises fintrack_tasks.errors.ProviderError: when the answer as a whole is none.
        """
        names, body = _names(asks), _body(response, asks[0].now)
        if _is_error(body):
            error = _error_of(body, response.status, asks[0].now)
            if not isinstance(error, UnknownSymbolError | EmptyError):
                raise error
            if len(names) > 1:  # it is unknown which of the symbols it is about
                raise MalformedError(f"of a whole batch: {error.detail}")
        if len(names) == 1 and names[0] not in body:
            body = {names[0]: body}  # one alone is answered without its name
        if not body.keys() & set(names):
            raise MalformedError("an answer for none of the symbols that were asked for")
        return [_outcome(ask, body, response.status) for ask in asks]


PROVIDER: Final = TwelveData()


# --- What is asked


def _symbol(instrument: Instrument) -> str:
    """Twelve Data's name of exactly this instrument."""
    symbol, asset_class = instrument.symbol, instrument.asset_class
    found: str | None = None
    if asset_class is AssetClass.INDEX:
        found = _INDICES.get(symbol)
    elif asset_class is AssetClass.FOREX:
        found = "/".join(pair) if (pair := currency_pair(symbol)) else None
    elif asset_class is AssetClass.CRYPTO:
        found = symbol.replace("-", "/") if _CRYPTO.fullmatch(symbol) else None
    elif _STOCK.fullmatch(symbol):
        found = with_dotted_class(symbol)
    if found is None:
        raise UnknownSymbolError(f"no sure name there for {symbol!r:.40}")
    return found


def _names(asks: Sequence[Ask]) -> list[str]:
    """The names to ask for, each once."""
    found = []
    for ask in asks:
        try:
            found.append(_symbol(ask.instrument))
        except UnknownSymbolError:
            continue
    return list(dict.fromkeys(found))


def _request(path: str, asks: Sequence[Ask]) -> HttpRequest:
    names, first = _names(asks), asks[0]
    if not names:
        raise UnknownSymbolError(f"no sure name there for {first.instrument.symbol!r:.40}")
    params = {"symbol": ",".join(names)}
    if path == "time_series" and first.window and first.interval:
        # Both ends are read as wall-clock times of the exchange: a day to either side holds them all.
        day = timedelta(days=1)
        params |= {
            "interval": _INTERVAL[first.interval],
            "start_date": f"{(first.window.start - day).astimezone(UTC):%Y-%m-%dT%H:%M:%S}",
            "end_date": f"{(first.window.end + day).astimezone(UTC):%Y-%m-%dT%H:%M:%S}",
        }
    # Plans differ by asset class: that an index is not included must not be learnt of all quotes.
    classes = sorted({ask.instrument.asset_class.value for ask in asks})
    return HttpRequest(f"/{path}", params, endpoint="/".join([path, *classes]), weight=len(names))


# --- What is answered


def _body(response: HttpResponse, now: datetime) -> Mapping[str, Any]:
    if response.status == 429:
        raise _quota(response.body[:500].decode("ascii", errors="replace").lower(), now, response)
    raise_for_status(response, now)
    body = json_body(response)
    if not isinstance(body, dict):
        raise MalformedError("an answer that is no object")
    return body


def _quota(message: str, now: datetime, response: HttpResponse | None = None) -> QuotaError:
    """Minutes and days are those of the clock in UTC."""
    until = now.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    if by_day := "for the day" in message or "daily" in message:
        until = until.replace(hour=0, minute=0) + timedelta(days=1)
    given = retry_after(response.headers, now) if response else None
    wait = (until - now).total_seconds() if given is None else given
    return QuotaError(f"out of credits for the {'day' if by_day else 'minute'}", retry_after=wait)


def _is_error(body: Mapping[str, Any]) -> bool:
    """By any of its marks: the error of a day's limit has no ``status``."""
    return body.get("status") == "error" or "code" in body


def _error_of(body: Mapping[str, Any], status: int, now: datetime) -> ProviderError:
    """What an error means. Its text is not repeated: it may name the key."""
    code = body.get("code")
    code = code if type(code) is int and 100 <= code <= 599 else status
    message = str(body.get("message"))[:1000].lower()
    if code == 429 or "api credits" in message:
        return _quota(message, now)
    if code == 401:
        return KeyRejectedError("the API key is missing or not accepted")
    if code == 403 or any(text in message for text in _PLAN):
        # An entitlement is learnt of the endpoint: the refusal of a symbol must not close it to all others.
        meant = UnknownSymbolError if _SYMBOLS_PLAN in message else EntitlementError
        return meant("not in the plan behind the key")
    if _NO_DATA in message:
        return EmptyError("no data for this range")
    if code == 404 or (code == 400 and "symbol" in message):
        return UnknownSymbolError("the symbol is not known there")
    return TransientError(f"an error of code {code}") if code >= 500 else MalformedError(f"an error of code {code}")


def _none(ask: Ask) -> EmptyError | UnavailableRangeError:
    """Before what is kept the answer is the same as for a range in which nothing was traded."""
    kept = first_kept(ask.now, _KEPT_DAYS)
    if ask.window is None or ask.interval is Interval.D1 or ask.window.start >= kept:
        return EmptyError("no data for this range")
    detail = f"no {ask.interval} bars in a range of which they may not be kept"
    return UnavailableRangeError(detail, earliest=kept if kept < ask.window.end else None)


def _outcome(ask: Ask, body: Mapping[str, Any], status: int) -> Batch | ProviderError:
    try:
        return _rows(ask, body.get(_symbol(ask.instrument)), status)
    except ProviderError as error:
        return error


def _rows(ask: Ask, entry: object, status: int) -> Batch:
    if not isinstance(entry, dict):
        raise MalformedError("no entry for this symbol")
    if _is_error(entry):
        error = _error_of(entry, status, ask.now)
        raise _none(ask) if isinstance(error, EmptyError) else error
    if status != 200:
        raise MalformedError(f"HTTP status {status}")
    if ask.kind is Kind.QUOTE:
        return _rate(ask, entry) if "rate" in entry else _quote(ask, entry)
    return _bars(ask, entry)


def _rate(ask: Ask, entry: Mapping[str, Any]) -> Batch:
    """``/exchange_rate``, whose numbers are numbers."""
    _same_symbol(ask, entry)
    price = _price(entry.get("rate"), "rate")
    stamp = price_time(epoch_micros(entry.get("timestamp"), "timestamp"), "timestamp")
    return _batch(ask, {"timestamp": [stamp], "price": [price], "volume": [None]}, _pair_currency(ask), None)


def _quote(ask: Ask, entry: Mapping[str, Any]) -> Batch:
    """``/quote``, stamped with its last minute; ``timestamp`` may be the time at which its day opened."""
    _same_symbol(ask, entry)
    price = _price(entry.get("close"), "close")
    time = "timestamp" if entry.get("last_quote_at") is None else "last_quote_at"
    columns: dict[str, Sequence[Any]] = {
        "timestamp": [price_time(epoch_micros(entry.get(time), time), time)],
        "price": [price],
        "volume": [_volume(ask, entry.get("volume"))],
        **{name: [positive_decimal(entry.get(name), name)] for name in _BESIDE},
    }
    unit = _pair_currency(ask) or currency(entry.get("currency"), "currency")
    return _batch(ask, columns, unit, None, source_meta(entry, zone="exchange_timezone", exchange="exchange"))


def _bars(ask: Ask, entry: Mapping[str, Any]) -> Batch:
    meta, values = entry.get("meta"), entry.get("values")
    if not isinstance(meta, dict) or not isinstance(values, list) or len(values) > MOST_ROWS:
        raise MalformedError("bars without meta or values, or far too many of them")
    _same_symbol(ask, meta)  # a cross rate, whose ranges do not hold its prices, has none
    interval = ask.interval or Interval.D1
    if meta.get("interval") != _INTERVAL[interval]:
        raise MalformedError(f"bars of {meta.get('interval')!r:.10} where {interval.value} was asked for")
    zone = None if interval is Interval.D1 else time_zone(meta.get("exchange_timezone"), "exchange_timezone")
    rows = _bars_by_opening(ask, values, zone)
    if not rows:
        raise _none(ask)
    raise_if_too_many(len(rows))
    order, left_out = bars_with_close(rows)
    columns = {name: [rows[opens][i] for opens in order] for i, name in enumerate((*_PRICES, "volume"))}
    unit = _pair_currency(ask) or currency(meta.get("currency"), "currency")
    kept = kept_from_meta(ask, min(rows), first_kept(ask.now, _KEPT_DAYS))
    return _batch(
        ask,
        {"timestamp": order, **columns, "adj_close": [None] * len(order)},
        unit,
        interval,
        {
            **source_meta(meta, zone="exchange_timezone", exchange="exchange"),
            **_adjusted(ask, meta),
            **kept,
            **left_out,
        },
    )


def _bars_by_opening(ask: Ask, values: Sequence[Any], zone: ZoneInfo | None) -> dict[int, list[str | None]]:
    """The bars inside the window: open, high, low, close and volume by the opening, microseconds; ``zone`` of intraday
    bars.
    """
    rows: dict[int, list[str | None]] = {}
    for value in values:
        if not isinstance(value, dict):
            raise MalformedError(f"a bar is no object: {value!r:.40}")
        opens = _day(value.get("datetime")) if zone is None else _moment(value.get("datetime"), zone)
        if ask.covers(opens):
            if absent := [name for name in _PRICES if name not in value]:
                raise MalformedError(f"a bar without {', '.join(absent)}")
            row = [*(exact_decimal(value[name], name) for name in _PRICES), _volume(ask, value.get("volume"))]
            if rows.setdefault(opens, row) != row:
                raise MalformedError(f"two bars of {value['datetime']} that differ")
    return rows


def _batch(
    ask: Ask,
    columns: Mapping[str, Sequence[Any]],
    currency: str | None,
    interval: Interval | None,
    meta: Mapping[str, Any] | None = None,
) -> Batch:
    return Batch(
        kind=ask.kind,
        symbol=ask.instrument.symbol,
        source=TwelveData.facts.name,
        currency=currency,
        interval=interval,
        columns=columns,
        meta=meta or {},
    )


def _same_symbol(ask: Ask, entry: Mapping[str, Any]) -> None:
    """Also that an index is one: its name may be that of a stock elsewhere."""
    if entry.get("symbol") != _symbol(ask.instrument):
        raise MalformedError(
            f"an answer for {entry.get('symbol')!r:.20} where {ask.instrument.symbol:.20} was asked for"
        )
    kind = entry.get("type")
    if kind is not None and (kind == "Index") != (ask.instrument.asset_class is AssetClass.INDEX):
        raise MalformedError(f"an answer for a {kind!r:.20} where {ask.instrument.symbol:.20} was asked for")


def _pair_currency(ask: Ask) -> str | None:
    """Of a pair by its name: answers name the currency of one in words, or not at all."""
    return _symbol(ask.instrument).partition("/")[2] or None


def _price(value: object, name: str) -> str:
    text = exact_decimal(value, name)
    if text is None or float(text) <= 0:
        raise MalformedError(f"{name} is no price: {text!r:.40}")
    return text


def _volume(ask: Ask, value: object) -> str | None:
    """An index is not traded: its usual "0" means that no volume is counted, hence ``None``."""
    text = exact_decimal(value, "volume")
    return None if text and ask.instrument.asset_class is AssetClass.INDEX and not float(text) else text


def _day(text: object) -> int:
    """Midnight UTC of the session's local date, for which no zone is needed."""
    if not isinstance(text, str) or not _DATE.fullmatch(text):
        raise MalformedError(f"datetime is no date: {text!r:.40}")
    return to_micros(_parsed(text).replace(tzinfo=UTC))


def _moment(text: object, zone: ZoneInfo) -> int:
    if not isinstance(text, str) or not _QUARTER.fullmatch(text):
        raise MalformedError(f"datetime is no time at which a bar opens: {text!r:.40}")
    local = _parsed(text)
    one, other = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if one != other:  # in the hour that a change of the clocks leaves out or repeats
        raise MalformedError(f"{text} is not one moment in {zone.key}")
    return to_micros(one)


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise MalformedError(f"datetime is no time: {text!r:.40}") from None


def _adjusted(ask: Ask, meta: Mapping[str, Any]) -> dict[str, str]:
    """Bars of stocks come restated for splits (``adjust=splits`` where nothing is asked for): up to this day.

    A source that makes a statement about itself is a sandbox's, whose prices are as they were traded.
    """
    if ask.instrument.asset_class is not AssetClass.STOCK or isinstance(meta.get("fintrack"), dict):
        return {}
    zone = UTC if meta.get("exchange_timezone") is None else time_zone(meta["exchange_timezone"], "exchange_timezone")
    return {"adjusted_to": ask.now.astimezone(zone).date().isoformat()}
