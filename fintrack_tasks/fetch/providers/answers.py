"""Fields of an answer, read alike by every provider: exact decimals, times, currencies, statuses; or a typed error.

The body as JSON is read with ``json_body``. Nothing here knows a provider.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fintrack_tasks.domain import BATCH_LIMIT, bounded_decimal, decimal_text, from_micros, is_currency, to_micros
from fintrack_tasks.errors import MalformedError, NoPriceError, QuotaError, TransientError
from fintrack_tasks.fetch.providers.base import HttpResponse
from fintrack_tasks.fetch.providers.json_body import LONGEST_NUMBER

__all__ = [
    "MISSING_NUMBER",
    "MOST_ROWS",
    "bars_with_close",
    "column",
    "currency",
    "decimal_or_label",
    "epoch_micros",
    "exact_decimal",
    "label",
    "positive_decimal",
    "price_time",
    "raise_for_status",
    "raise_if_too_many",
    "retry_after",
    "source_meta",
    "source_statement",
    "text",
    "time_zone",
]

_WHOLE: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_LONGEST_TEXT: Final = 64
_SURELY_BOUNDED: Final = 40
"""Characters; see :func:`fintrack_tasks.domain.bounded_decimal`."""
_LONGEST_PAUSE: Final = 31 * 86_400.0
_LATEST_EPOCH: Final = 4_102_444_800  # 2100-01-01: a later stamp is milliseconds or rubbish
_FIRST_QUOTE: Final = datetime(2000, 1, 1, tzinfo=UTC)

MOST_ROWS: Final = 20_000
"""Bars in an answer, those outside the window included: all days of a series since 1950."""


def raise_for_status(response: HttpResponse, now: datetime) -> None:
    """Raise what 429 and 5xx mean everywhere; every other status is left to the provider's ``parse``."""
    if response.status == 429:
        raise QuotaError("429 Too Many Requests", retry_after=retry_after(response.headers, now))
    if response.status >= 500 or response.status == 408:
        raise TransientError(f"HTTP status {response.status}", retry_after=retry_after(response.headers, now))


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds of a ``Retry-After`` header in both its forms (RFC 9110, 10.2.3); ``None`` without a usable one."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_PAUSE)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - now).total_seconds()), _LONGEST_PAUSE)


def exact_decimal(value: object, name: str) -> str | None:
    """Exact decimal text of a number, of at most 40 digits to either side of the point; ``None`` for null.

    :param name: of the field, for the error.

    :raises MalformedError: names the field that is none.
    """
    try:
        found = decimal_text(value if not isinstance(value, str) or len(value) <= LONGEST_NUMBER else "too long")
    except ValueError:
        raise MalformedError(f"{name} is no number: {value!r:.40}") from None
    plain = found is None or (len(found) <= _SURELY_BOUNDED and "e" not in found and "E" not in found)
    if found is not None and not plain and bounded_decimal(found) is None:
        raise MalformedError(f"{name} is no number of anything: {found:.40}")
    return found


def raise_if_too_many(count: int) -> None:
    """Refuse more bars inside a window than a batch may hold.

    :raises MalformedError: for more than :data:`fintrack_tasks.domain.BATCH_LIMIT`.
    """
    if count > BATCH_LIMIT:
        raise MalformedError(f"{count} bars, more than a window may hold")


def bars_with_close(rows: Mapping[int, Sequence[str | None]], close: int = 3) -> tuple[list[int], dict[str, int]]:
    """The times of the bars that have a close, ascending, and ``left_out``, the count of the others, for ``meta``.

    A bar without a close is left out. Where another price is null, that cell alone is unknown, as the checks report.

    :param rows: opening, in microseconds, to the bar's values.
    :param close: index of the close in a row.
    :raises NoPriceError: when there are bars, and none has one.
    """
    order = sorted(opens for opens, row in rows.items() if row[close] is not None)
    left_out = len(rows) - len(order)
    if rows and not order:
        raise NoPriceError(f"no complete bars in this range ({left_out} without a price)")
    return order, {"left_out": left_out} if left_out else {}


MISSING_NUMBER: Final = "null"
"""Stands for a number that an event does not have; the checks reject it as they reject any text that is no number."""


def decimal_or_label(value: object) -> str | None:
    """A number of an event as exact text, or the provider's text where it is no number: the checks of events judge it.

    A broken dividend must not cost the bars of the same answer.
    """
    try:
        return exact_decimal(value, "")
    except MalformedError:
        return label(value if isinstance(value, str) else str(value)[:_LONGEST_TEXT]) or "?"


def positive_decimal(value: object, name: str) -> str | None:
    """A price beside the main one (bid, open, previous close) as exact decimal text; ``None`` for null, zero or less.

    :raises MalformedError: for what is no number.
    """
    found = exact_decimal(value, name)
    return found if found is not None and float(found) > 0 else None


def text(value: object, name: str) -> str | None:
    """Printable text of at most 64 characters; ``None`` for null and empty text.

    :raises MalformedError: for another type or length.
    """
    if value is None or value == "":
        return None
    found = label(value)
    if found is None:
        raise MalformedError(f"{name} is no text: {value!r:.40}")
    return found


def label(value: object) -> str | None:
    """Printable text of at most 64 characters; ``None`` for anything else, where it is not needed."""
    fits = isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT and value.isprintable()
    return str(value) if fits else None


def currency(value: object, name: str) -> str | None:
    """A currency's code as the provider writes it (``USD``, ``GBp``); ``None`` for null and empty text.

    :raises MalformedError: for what is none.
    """
    code = text(value, name)
    if code is not None and not is_currency(code):
        raise MalformedError(f"{name} is no code of a currency: {code!r:.40}")
    return code


def source_statement(value: object) -> dict[str, Any]:
    """The statement of a source about itself (``{"synthetic": true, "origin": "..."}``): at most eight plain values,
    texts cut to 200 characters; empty for anything else than an object.
    """
    members = value.items() if isinstance(value, dict) else ()
    plain = [(name, each) for name, each in members if name.isidentifier() and len(name) <= _LONGEST_TEXT]
    return {
        name: each[:200] if isinstance(each, str) else each
        for name, each in plain[:8]
        if isinstance(each, bool) or (isinstance(each, str) and each.isprintable())
    }


def source_meta(answer: Mapping[str, Any], *, zone: str, exchange: str | None = None) -> dict[str, Any]:
    """The part of a batch's ``meta`` about its source: ``zone``, ``exchange``, and a sandbox's ``statement``.

    :param zone: the name of the answer's member with the time zone; ``exchange`` likewise.
    """
    labels = {"zone": label(answer.get(zone)), "exchange": label(answer.get(exchange)) if exchange else None}
    meta: dict[str, Any] = {name: value for name, value in labels.items() if value is not None}
    if isinstance(answer.get("fintrack"), dict):
        meta["statement"] = source_statement(answer["fintrack"])
    return meta


@cache
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def time_zone(value: object, name: str) -> ZoneInfo:
    """The zone of an IANA name such as ``America/New_York``.

    :raises MalformedError: for anything else.
    """
    zone = text(value, name)
    found = _zone(zone) if zone else None
    if found is None:
        raise MalformedError(f"{name} is no zone: {zone!r:.40}")
    return found


def column(values: object, length: int, name: str) -> Sequence[Any]:
    """A list of the promised length; nulls for one that is absent.

    :raises MalformedError: for another type or length.
    """
    if values is None:
        return [None] * length
    if not isinstance(values, list) or len(values) != length:
        raise MalformedError(f"{name} is not a list of {length} values")
    return values


def epoch_micros(value: object, name: str) -> int:
    """Microseconds of whole epoch seconds, also of those before 1970.

    :raises MalformedError: for anything else.
    """
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LATEST_EPOCH:
        raise MalformedError(f"{name} is no time in epoch seconds: {value!r:.40}")
    return value * 1_000_000


def price_time(micros: int, name: str) -> int:
    """The time of a current price, microseconds. One of before 2000 is a default (0, -1, 0001-01-01), not a time.

    :raises MalformedError: for such a one.
    """
    if micros < to_micros(_FIRST_QUOTE):
        raise MalformedError(f"{name} is no time of a price: {_shown(micros)}")
    return micros


def _shown(micros: int) -> str:
    try:
        return f"{from_micros(micros):%Y-%m-%d}"
    except OverflowError:
        return f"{micros} microseconds"
