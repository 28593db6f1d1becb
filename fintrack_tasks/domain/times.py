"""Moments as microseconds, half-open ranges of time, and the lengths of stored bars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

__all__ = ["Interval", "TimeRange", "from_micros", "to_micros"]


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Interval(StrEnum):
    """The length of a stored bar."""

    D1 = "1d"
    H1 = "1h"
    M15 = "15m"

    @property
    def delta(self) -> timedelta:
        return {"1d": timedelta(days=1), "1h": timedelta(hours=1), "15m": timedelta(minutes=15)}[self.value]


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A half-open span of time ``[start, end)``, both aware UTC.

    :raises ValueError: when one of them has no zone, or ``end`` is not after ``start``.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a window needs aware times")
        if self.end <= self.start:
            raise ValueError(f"the window ends ({self.end.isoformat()}) before it starts ({self.start.isoformat()})")


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC.

    :raises ValueError: when ``moment`` has no zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"a time without a zone: {moment!r}")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """The aware UTC time of microseconds since 1970-01-01 UTC; exact, also before 1970."""
    return _EPOCH + timedelta(microseconds=micros)
