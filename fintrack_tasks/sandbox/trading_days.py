"""New York's trading days and early closes, for the synthetic stocks and indices; exceptional closures included.

Unlike ``exchanges`` they are computed without pandas.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

__all__ = ["closes_early", "is_trading_day"]

_DAY = timedelta(days=1)
_CLOSED = frozenset(
    date.fromisoformat(text)
    for text in (
        "1994-04-27",  # funeral of Richard Nixon
        *("2001-09-11", "2001-09-12", "2001-09-13", "2001-09-14"),  # the attacks on New York
        "2004-06-11",  # funeral of Ronald Reagan
        "2007-01-02",  # mourning for Gerald Ford
        *("2012-10-29", "2012-10-30"),  # hurricane Sandy
        "2018-12-05",  # mourning for George H. W. Bush
        "2025-01-09",  # mourning for Jimmy Carter
    )
)
_SHORT = frozenset(
    date.fromisoformat(text) for text in ("1996-07-05", "1997-12-26", "1999-12-31", "2002-07-05", "2003-12-26")
)
_FULL = frozenset(
    date.fromisoformat(text)
    for text in ("1990-07-03", "1990-11-23", "1991-07-03", "1991-11-29", "1996-07-03", "2002-07-03")
)


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
    return day.weekday() < 5 and day not in _holidays(day.year) and day not in _CLOSED


def closes_early(day: date) -> bool:
    """Whether the session ends at 13:00: the day after Thanksgiving, Christmas Eve, the day before July 4th.

    A few sessions before 1993 ended at 14:00; here they end at 13:00 as well.
    """
    usual = (
        _nth(day.year, 11, 3, 4) + _DAY,
        date(day.year, 12, 24),
        date(day.year, 7, 3),
    )
    return day in _SHORT or (day in usual and day not in _FULL)
