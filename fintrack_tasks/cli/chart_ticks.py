"""Ticks and labels of a chart's time axis, at the beginnings of years, quarters, months, weeks, days or hours.

Bars stand side by side whatever time lies between them, so that a mark belongs to the first bar of its period.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

__all__ = ["ticks", "time_label"]

_MOST: Final = 11
_APART: Final = 14
"""Two marks are at the least so small a part of the axis apart, or their labels would touch."""

_Period = tuple[Callable[[datetime], Any], str, str]
"""What all bars of a period have in common, its label, and its label where the next larger unit begins."""


def _hours(hours: int) -> _Period:
    return (lambda t: (t.date(), t.hour // hours)), "%H:%M", "%H:%M\n%d %b %Y"


def _months(months: int) -> _Period:
    return (lambda t: (t.year, (t.month - 1) // months)), "%b", "%b\n%Y"


def _years(years: int) -> _Period:
    return (lambda t: t.year // years), "%Y", "%Y"


_INTRADAY: Final = tuple(map(_hours, (1, 2, 3, 6, 12)))
_DAYS: Final[tuple[_Period, ...]] = (
    (lambda t: t.date(), "%d %b", "%d %b\n%Y"),
    (lambda t: t.isocalendar()[:2], "%d %b", "%d %b\n%Y"),
)
_LONGER: Final = (*map(_months, (1, 3)), *map(_years, (1, 2, 5, 10, 20)))


def time_label(moment: datetime, *, daily: bool) -> str:
    """A bar's date, or its date and time in UTC."""
    return f"{moment:%Y-%m-%d}" if daily else f"{moment:%Y-%m-%d %H:%M} UTC"


def ticks(times: Sequence[datetime], *, daily: bool) -> list[tuple[int, str]]:
    """Place and label of each mark, at most eleven, by the shortest period that does not begin more often.

    :param times: of the bars, ascending.
    :param daily: whether a bar is a day: then no hour is told.
    """
    for key, short, full in (*(() if daily else _INTRADAY), *_DAYS, *_LONGER):
        places = _begins(times, key)
        if 2 <= len(places) <= _MOST:
            return _labelled(times, _apart(places, len(times)), short, full)
    ends = sorted({0, len(times) - 1})  # fewer bars, or fewer periods, than there is anything to mark
    return [(place, format(times[place], "%d %b\n%Y" if daily else "%H:%M\n%d %b %Y")) for place in ends]


def _begins(times: Sequence[datetime], key: Callable[[datetime], Any]) -> list[int]:
    """The places of the bars that begin a period; the first of all may stand in the middle of its own."""
    keys = [key(moment) for moment in times]
    return [place for place, (before, own) in enumerate(pairwise(keys), start=1) if own != before]


def _apart(places: Sequence[int], count: int) -> list[int]:
    kept: list[int] = []
    for place in places:
        if not kept or (place - kept[-1]) * _APART >= count:
            kept.append(place)
    return kept


def _labelled(times: Sequence[datetime], places: Sequence[int], short: str, full: str) -> list[tuple[int, str]]:
    """The larger unit (the year, or of hours the day) stands below the first mark that lies in it."""
    found, before = list[tuple[int, str]](), None
    for place in places:
        moment = times[place]
        larger = moment.date() if "%H" in short else moment.year
        found.append((place, format(moment, full if larger != before else short)))
        before = larger
    return found
