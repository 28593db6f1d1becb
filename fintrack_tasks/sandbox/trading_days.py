"""The days on which the synthetic stocks and indices trade: New York's rules, without the exceptional closures."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

__all__ = ["closes_early", "is_trading_day"]

_DAY = timedelta(days=1)


@cache
def _easter(year: int) -> date:
    """Easter Sunday by the Gregorian computus (Meeus, Astronomical Algorithms, chapter 8)."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    k = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * k) // 451
    month, day = divmod(h + k - 7 * m + 114, 31)
    return date(year, month, day + 1)


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + _DAY * ((weekday - first.weekday()) % 7 + 7 * (n - 1))


def _observed(day: date) -> date:
    """A Saturday's holiday is kept on Friday, a Sunday's on Monday."""
    return day + _DAY * {5: -1, 6: 1}.get(day.weekday(), 0)


@cache
def _holidays(year: int) -> frozenset[date]:
    memorial = _nth(year, 6, 0, 1) - _DAY * 7
    days = {
        _nth(year, 2, 0, 3),
        _easter(year) - _DAY * 2,
        memorial,
        _observed(date(year, 7, 4)),
        _nth(year, 9, 0, 1),
        _nth(year, 11, 3, 4),
        _observed(date(year, 12, 25)),
    }
    new_year = date(year, 1, 1)
    if new_year.weekday() != 5:  # the exchange does not close on the last day of a year for it
        days.add(_observed(new_year))
    if year >= 1998:
        days.add(_nth(year, 1, 0, 3))
    if year >= 2022:
        days.add(_observed(date(year, 6, 19)))
    return frozenset(days)


def is_trading_day(day: date) -> bool:
    """Whether New York trades on that day."""
    return day.weekday() < 5 and day not in _holidays(day.year)


def closes_early(day: date) -> bool:
    """Whether the session ends at 13:00: the day after Thanksgiving, Christmas Eve, the day before July 4th."""
    return day in (
        _nth(day.year, 11, 3, 4) + _DAY,
        date(day.year, 12, 24),
        date(day.year, 7, 3),
    )
