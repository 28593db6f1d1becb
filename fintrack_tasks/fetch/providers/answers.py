"""How every provider reads an answer: JSON or a typed error, numbers as exact text, what statuses mean everywhere.

Nothing here knows a provider.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from fintrack_tasks.domain import decimal_text
from fintrack_tasks.errors import MalformedError, QuotaError, TransientError
from fintrack_tasks.fetch.providers.base import HttpResponse

__all__ = [
    "column",
    "epoch_micros",
    "first_kept",
    "json_body",
    "number",
    "positive",
    "raise_for_status",
    "retry_after",
    "text",
    "time_zone",
]

_WHOLE: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_LONGEST_TEXT: Final = 64
_LONGEST_PAUSE: Final = 31 * 86_400.0
_LATEST_EPOCH: Final = 4_102_444_800  # 2100-01-01: a later stamp is milliseconds or rubbish


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


def first_kept(now: datetime, days: int) -> datetime:
    """The first midnight UTC from which on bars are kept for so many days, an hour at the least to spare.

    What is kept moves with the provider's clock: the very first moment would be gone by the time it is asked for.
    """
    oldest = (now - timedelta(days=days) + timedelta(hours=25)).astimezone(UTC)
    return oldest.replace(hour=0, minute=0, second=0, microsecond=0)


def json_body(response: HttpResponse) -> Any:
    """The body as JSON.

    :raises MalformedError: for a cut body, HTML, or bytes that are no text.
    """
    body = response.body.removeprefix(b"\xef\xbb\xbf")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        start = body[:60].decode("ascii", errors="replace")
        kind = "HTML" if body.lstrip()[:1] == b"<" else "no JSON"
        raise MalformedError(f"{kind} where JSON was promised ({error.msg}): {start!r}") from None


def number(value: object, name: str) -> str | None:
    """Exact decimal text of a number.

    :raises MalformedError: names the field that is none.
    """
    try:
        return decimal_text(value)
    except ValueError:
        raise MalformedError(f"{name} is no number: {value!r:.40}") from None


def positive(value: object, name: str) -> str | None:
    """A price beside the main one, as exact decimal text; ``None`` for zero, which says that there is none.

    :raises MalformedError: for what is no number.
    """
    found = number(value, name)
    return found if found is not None and float(found) > 0 else None


def text(value: object, name: str) -> str | None:
    """Text of at most 64 characters; ``None`` for null and empty text.

    :raises MalformedError: for another type or length.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise MalformedError(f"{name} is no text: {value!r:.40}")
    return value


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
