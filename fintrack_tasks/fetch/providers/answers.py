"""How every provider reads an answer: JSON or a typed error, numbers as exact text, what statuses mean everywhere.

Nothing here knows a provider.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from fintrack_tasks.domain import bounded_decimal, decimal_text, from_micros, is_currency, to_micros
from fintrack_tasks.errors import MalformedError, NoPriceError, QuotaError, TransientError
from fintrack_tasks.fetch.providers.base import HttpResponse

__all__ = [
    "MOST_ROWS",
    "as_told",
    "column",
    "currency",
    "epoch_micros",
    "json_body",
    "label",
    "number",
    "positive",
    "price_time",
    "raise_for_status",
    "retry_after",
    "statement",
    "text",
    "time_zone",
]

_WHOLE: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_LONGEST_TEXT: Final = 64
_LONGEST_NUMBER: Final = 64
_SURELY_EXACT: Final = 15
"""Characters of a number that a float holds as it is written: so many digits survive."""
_SURELY_BOUNDED: Final = 40
"""Characters; see :func:`fintrack_tasks.domain.bounded_decimal`."""
_DEEPEST: Final = 32
"""Levels of JSON; answers have 7 at the most."""
_MOST_VALUES: Final = 250_000
_MOST_CONTAINERS: Final = 60_000
"""Of an answer. All days of a stock since 1999 are 7,000 objects of 55,000 values."""
_LONGEST_PAUSE: Final = 31 * 86_400.0
_LATEST_EPOCH: Final = 4_102_444_800  # 2100-01-01: a later stamp is milliseconds or rubbish
_FIRST_QUOTE: Final = datetime(2000, 1, 1, tzinfo=UTC)

MOST_ROWS: Final = 20_000
"""Bars in an answer, those outside the window included: all days of a series since 1950."""


def raise_for_status(response: HttpResponse, now: datetime) -> None:
    """Raise what 429 and 5xx mean everywhere; every other status is the provider's own to read."""
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


def json_body(response: HttpResponse, *, quoted: bool = True) -> Any:
    """The body as JSON.

    Beyond what JSON itself demands, no object says two things under one name, nothing is nested beyond 32 levels, and
    there is no more of it than any answer holds. A number that no float can hold as it is written stays its own text,
    so that :func:`number` judges what was written.

    :param quoted: whether an error may repeat the start of the body; not where that may hold a key.
    :raises MalformedError: for anything else: a cut body, HTML, bytes that are no text.
    """
    body = response.body.removeprefix(b"\xef\xbb\xbf")
    if body.count(b",") > _MOST_VALUES or body.count(b"{") + body.count(b"[") > _MOST_CONTAINERS:
        raise MalformedError("more values than any answer holds")
    try:
        said = body.decode("utf-8")
        if "\\ud" in said or "\\uD" in said:
            orjson.loads(body)  # refuses halves of a character, which Python takes and no database does
        found = _DECODER.decode(said)
    except _ConflictError as conflict:
        raise MalformedError(f"two values under one name{f': {conflict}' if quoted else ''}") from None
    except RecursionError:
        raise MalformedError("nested too deep") from None
    except ValueError as error:
        start = f": {body[:60].decode('ascii', errors='replace')!r}" if quoted else ""
        kind = "HTML" if body.lstrip()[:1] == b"<" else "no JSON"
        raise MalformedError(
            f"{kind} where JSON was promised (HTTP status {response.status}, {_why(error)}){start}"
        ) from None
    if _is_deep(found):
        raise MalformedError("nested too deep")
    return found


class _ConflictError(Exception):
    """Two members of one object have one name and different values."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if (
        len(found) != len(pairs)
        and (conflict := next((n for n, value in pairs if found[n] != value), None)) is not None
    ):
        raise _ConflictError(f"{conflict!r:.40}")
    return found


def _float(text: str) -> float | str:
    if len(text) > _LONGEST_NUMBER:
        return text
    value = float(text)
    if not math.isfinite(value) or (value == 0 and text.lower().partition("e")[0].strip("-0.")):
        return text
    return value if len(text) <= _SURELY_EXACT or repr(value) == text else text


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)


def _why(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)[:60]


def _is_deep(value: Any) -> bool:
    """Level by level: a value that is nested too deep cannot be walked by recursion."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_DEEPEST):
        if not level:
            return False
        inner = (node.values() if type(node) is dict else node for node in level)
        level = [child for children in inner for child in children if type(child) is dict or type(child) is list]
    return bool(level)


def number(value: object, name: str) -> str | None:
    """Exact decimal text of a number, of at most 40 digits to either side of the point.

    :raises MalformedError: names the field that is none.
    """
    try:
        found = decimal_text(value if not isinstance(value, str) or len(value) <= _LONGEST_NUMBER else "too long")
    except ValueError:
        raise MalformedError(f"{name} is no number: {value!r:.40}") from None
    plain = found is None or (len(found) <= _SURELY_BOUNDED and "e" not in found and "E" not in found)
    if found is not None and not plain and bounded_decimal(found) is None:
        raise MalformedError(f"{name} is no number of anything: {found:.40}")
    return found


def standing(rows: Mapping[int, Sequence[str | None]], close: int = 3) -> tuple[list[int], dict[str, int]]:
    """The times of the bars that have a close, ascending, and what ``meta`` says of those that do not.

    A bar stands by its close: where another price beside it is null, that cell alone is unknown, and the checks say so.

    :param close: its place in a row.
    :raises NoPriceError: when there are bars, and none has one.
    """
    order = sorted(opens for opens, row in rows.items() if row[close] is not None)
    left_out = len(rows) - len(order)
    if rows and not order:
        raise NoPriceError(f"no complete bars in this range ({left_out} without a price)")
    return order, {"left_out": left_out} if left_out else {}


NOT_TOLD: Final = "null"
"""What stands for a number that an event does not have: the checks name it, as any other that is none."""


def as_told(value: object) -> str | None:
    """A number of an event as exact text, or as it was told where it is none: the checks of events judge it.

    An answer's bars are not worth less because the dividend beside them is nonsense.
    """
    try:
        return number(value, "")
    except MalformedError:
        return label(value if isinstance(value, str) else str(value)[:_LONGEST_TEXT]) or "?"


def positive(value: object, name: str) -> str | None:
    """A price beside the main one, as exact decimal text; ``None`` for zero, which says that there is none.

    :raises MalformedError: for what is no number.
    """
    found = number(value, name)
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


def statement(value: object) -> dict[str, Any]:
    """What a source says of itself (``{"synthetic": true, "origin": "..."}``): its plain values, cut; else nothing."""
    said = value.items() if isinstance(value, dict) else ()
    plain = [(name, each) for name, each in said if name.isidentifier() and len(name) <= _LONGEST_TEXT]
    return {
        name: each[:200] if isinstance(each, str) else each
        for name, each in plain[:8]
        if isinstance(each, bool) or (isinstance(each, str) and each.isprintable())
    }


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
    said = text(value, name)
    found = _zone(said) if said else None
    if found is None:
        raise MalformedError(f"{name} is no zone: {said!r:.40}")
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
