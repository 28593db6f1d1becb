"""European Central Bank: euro foreign exchange reference rates, one a working day, without a key.

Docs: https://www.ecb.europa.eu/stats/policy_and_exchange_rates/euro_reference_exchange_rates. The rates are published
at about 16:00 Central European Time of their day, in one file for all currencies: the newest day, the newest 90
calendar days, or all days since 1999. A rate is the units of a currency that one euro buys; nothing is inverted here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo

from lxml import etree

from fintrack_tasks.domain import BATCH_LIMIT, AssetClass, Batch, FxRate, Instrument, Interval, Kind, to_micros
from fintrack_tasks.errors import EmptyError, EntitlementError, MalformedError, UnknownSymbolError
from fintrack_tasks.fetch.providers.answers import price_time, raise_for_status
from fintrack_tasks.fetch.providers.base import Ask, Facts, HttpRequest, HttpResponse, Quota

__all__ = ["PROVIDER", "Ecb", "rates"]

_FRANKFURT: Final = ZoneInfo("Europe/Berlin")
_PUBLISHED_AT: Final = 16
_NINETY_DAYS: Final = timedelta(days=85)  # what the file of 90 days surely holds, seen from any zone
_PAIR: Final = re.compile(r"EUR([A-Z]{3})=X")
_CODE: Final = re.compile(r"[A-Z]{3}")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_RATE: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_NOT_QUOTED: Final = frozenset({"N/A", ""})
_ENVELOPE: Final = "{http://www.gesmes.org/xml/2002-08-01}Envelope"
_CUBE: Final = "{http://www.ecb.int/vocabulary/2002-08-01/eurofxref}Cube"

_FIRST_DAY: Final = date(1999, 1, 1)
_PIECE: Final = 64 * 1024
_MOST_ELEMENTS: Final = 500_000
_DEEPEST: Final = 8
_MOST_COLUMNS: Final = 200
"""All days since 1999 are 240,000 elements, four deep; the CSV form has 42 columns."""

_Day = tuple[date, Mapping[str, str]]
"""A day and its rates: currency to the published text."""
_Cells = tuple[str, list[tuple[str, str]]]
"""A day and its rates, unchecked."""


class Ecb:
    """Declared facts, :meth:`request` and :meth:`parse`."""

    facts: ClassVar[Facts] = Facts(
        name="ecb",
        base_url="https://www.ecb.europa.eu",
        asset_classes=frozenset({AssetClass.FOREX}),
        kinds=frozenset({Kind.QUOTE, Kind.BARS}),
        intervals=frozenset({Interval.D1}),
        page_size=BATCH_LIMIT,
        # Nothing is published; a bank's static files are asked for politely.
        quotas=(Quota(1, 1.0, burst=1),),
        headers={"User-Agent": "fintrack-tasks", "Accept": "application/xml"},
        largest_body=32 * 1024 * 1024,  # all days since 1999 are about 8 MB
    )

    def request(self, ask: Ask) -> HttpRequest:
        """The smallest file that surely holds the window.

        :raises UnknownSymbolError: for what is no euro pair; no answer need be fetched to know it.
        """
        _currency(ask.instrument)
        name = _file(ask)
        return HttpRequest(f"/stats/eurofxref/{name}.xml", endpoint=name)

    def parse(self, ask: Ask, response: HttpResponse) -> Batch:
        """The newest rate as a quote, stamped at its publication; or a bar a day whose four prices are the rate."""
        currency = _currency(ask.instrument)
        found: dict[date, str] = {}
        for day, quoted in _days(response, ask.now):
            if currency in quoted:
                found[day] = quoted[currency]
        if not found:
            raise UnknownSymbolError(f"the answer has no rate of {currency}")
        if ask.kind is Kind.QUOTE:
            newest = max(found)
            stamp = price_time(_stamp(newest, ask.now), "the day of a rate")
            return _batch(ask, currency, {"timestamp": [stamp], "price": [found[newest]]})
        return _bars(ask, currency, found)


PROVIDER: Final = Ecb()


def rates(response: HttpResponse, now: datetime) -> list[FxRate]:
    """The rates of all currencies and days of an answer, as of their publication, oldest day first.

    :raises fintrack_tasks.errors.ProviderError: the subclass says what the answer means.
    """
    return [
        FxRate("EUR", currency, _publication(day, now), Decimal(text), Ecb.facts.name)
        for day, quoted in sorted(_days(response, now), key=lambda each: each[0])
        for currency, text in quoted.items()
    ]


def _currency(instrument: Instrument) -> str:
    match = _PAIR.fullmatch(instrument.symbol)
    if match is None or match[1] == "EUR":
        raise UnknownSymbolError(
            f"the ECB publishes what a euro buys, as in EURUSD=X; {instrument.symbol} is no such pair"
        )
    return match[1]


def _file(ask: Ask) -> str:
    if ask.kind is Kind.QUOTE or ask.window is None:
        return "eurofxref-daily"
    today = _midnight(ask.now.astimezone(_FRANKFURT).date())
    if ask.window.start >= today:
        return "eurofxref-daily"
    return "eurofxref-hist-90d" if ask.window.start >= today - _NINETY_DAYS else "eurofxref-hist"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _publication(day: date, now: datetime) -> datetime:
    """16:00 in Frankfurt on that day; an answer that was published some minutes early is not stamped in the future."""
    return min(datetime(day.year, day.month, day.day, _PUBLISHED_AT, tzinfo=_FRANKFURT).astimezone(UTC), now)


def _stamp(day: date, now: datetime) -> int:
    return to_micros(_publication(day, now))


def _bars(ask: Ask, currency: str, found: Mapping[date, str]) -> Batch:
    kept = {to_micros(_midnight(day)): found[day] for day in sorted(found)}
    if ask.window:
        low, high = to_micros(ask.window.start), to_micros(ask.window.end)
        kept = {opens: rate for opens, rate in kept.items() if low <= opens < high}
    if not kept:
        raise EmptyError("no reference rate in this range")
    if len(kept) > BATCH_LIMIT:
        raise MalformedError(f"{len(kept)} bars, more than a window may hold")
    prices = {name: list(kept.values()) for name in ("open", "high", "low", "close")}
    absent: dict[str, list[None]] = {name: [None] * len(kept) for name in ("adj_close", "volume")}
    return _batch(ask, currency, {"timestamp": list(kept), **prices, **absent})


def _batch(ask: Ask, currency: str, columns: Mapping[str, list[Any]]) -> Batch:
    return Batch(
        kind=ask.kind,
        symbol=ask.instrument.symbol,
        source=Ecb.facts.name,
        currency=currency,
        interval=None if ask.kind is Kind.QUOTE else Interval.D1,
        columns=columns,
        meta={"reference_rate": True},
    )


# --- Answers -----------------------------------------------------------------------------------------------------


def _days(response: HttpResponse, now: datetime) -> Iterator[_Day]:
    """The days of an answer in its own order, each once.

    :raises fintrack_tasks.errors.ProviderError: before or after some days: nothing may be kept of such an answer.
    """
    raise_for_status(response, now)
    if response.status == 403:
        raise EntitlementError("the ECB refuses this client (HTTP status 403)")
    if response.status != 200:
        raise MalformedError(f"HTTP status {response.status}")
    body = response.body.removeprefix(b"\xef\xbb\xbf")
    seen: set[date] = set()
    today = now.astimezone(_FRANKFURT).date()
    for text, cells in _csv(body) if body.startswith(b"Date,") else _xml(body):
        day = _date(text)
        if day < _FIRST_DAY:
            raise MalformedError(f"rates of {day}, before there was a euro")
        if day in seen or day > today:
            raise MalformedError(f"rates of {day}, {'twice' if day in seen else 'which is still to come'}")
        seen.add(day)
        yield day, _quoted(day, cells)
    if not seen:
        raise MalformedError("an answer without a day of rates")


def _date(text: str) -> date:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise MalformedError(f"no date of rates: {text!r:.40}")


def _quoted(day: date, cells: list[tuple[str, str]]) -> dict[str, str]:
    """Currency to rate as published; currencies that were not quoted that day are left out."""
    quoted: dict[str, str] = {}
    for currency, rate in cells:
        if not _CODE.fullmatch(currency) or currency in quoted:
            raise MalformedError(f"{day}: {currency!r:.20} is no currency, or stands there twice")
        if rate in _NOT_QUOTED:
            continue
        if not _RATE.fullmatch(rate) or not rate.strip("0."):
            raise MalformedError(f"{day}: the rate of {currency} is no number above nought: {rate!r:.40}")
        quoted[currency] = rate
    return quoted


def _xml(body: bytes) -> Iterator[_Cells]:
    """Each day of the XML form. It is read element by element: nothing is built of it but the days themselves."""
    if b"<!DOCTYPE" in body:
        raise MalformedError("a document type where rates were promised")  # a page, or entities: never the ECB's
    days = _Days()
    parser = etree.XMLParser(
        target=days,
        encoding="utf-8",  # not what the body says: no other encoding can hide a document type from the line above
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        collect_ids=False,
    )
    try:
        for start in range(0, len(body), _PIECE):
            parser.feed(body[start : start + _PIECE])
            yield from days.pop_ended()
        parser.close()
        yield from days.pop_ended()
    except etree.XMLSyntaxError as error:
        raise MalformedError(f"no XML where XML was promised ({str(error)[:100]!r})") from None


class _Days:
    """A target of lxml's parser that collects days: cubes with a time, holding cubes of a currency with its rate."""

    def __init__(self) -> None:
        self._ended: list[_Cells] = []
        self._day: _Cells | None = None
        self._depth = self._elements = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._elements += 1
        if self._elements > _MOST_ELEMENTS or self._depth >= _DEEPEST:
            raise MalformedError("more elements than all days of rates are")
        if not self._depth and tag != _ENVELOPE:
            raise MalformedError("the root is no Envelope of rates")
        self._depth += 1
        if self._day is not None:
            self._day[1].append(_cell(tag, attributes))
        elif tag == _CUBE and (time := attributes.get("time")) is not None:
            self._day, self._day_depth = (time, []), self._depth

    def end(self, tag: str) -> None:
        if self._day is not None and self._depth == self._day_depth:
            self._ended.append(self._day)
            self._day = None
        self._depth -= 1

    def pop_ended(self) -> list[_Cells]:
        """The days that have ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """The end of the document."""


def _cell(tag: str, attributes: Mapping[str, str]) -> tuple[str, str]:
    currency, rate = attributes.get("currency"), attributes.get("rate")
    if tag != _CUBE or currency is None or rate is None:
        raise MalformedError("a day holds what is no currency with its rate")
    return currency, rate.strip()


def _csv(body: bytes) -> Iterator[_Cells]:
    """Each day of the CSV form, whose last column is empty and has no name."""
    if not body.endswith(b"\n"):
        raise MalformedError("the last line is cut")
    try:
        lines = enumerate(StringIO(body.decode("ascii")), start=1)
    except UnicodeDecodeError:
        raise MalformedError("no text where CSV was promised") from None
    names: list[str] = []
    for position, line in lines:
        columns = line.count(",") + 1
        if columns > _MOST_COLUMNS or (names and columns != len(names)):
            raise MalformedError(f"line {position} has {columns} columns, the first one {len(names)}")
        row = [cell.strip() for cell in line.split(",")]
        if not names:
            names = row
            continue
        yield row[0], [cell for cell in zip(names[1:], row[1:], strict=True) if cell != ("", "")]
