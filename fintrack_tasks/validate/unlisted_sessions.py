"""Which bars prove a session that the calendar does not have: special Saturdays, evenings of Muhurat trading.

A calendar is made by people, and exchanges announce sessions at short notice (exchange_calendars#394). A bar under a
wrong date is no such proof: it leaves a gap where it belongs, or repeats what was traded on another day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from fintrack_tasks.domain import AssetClass, Interval, from_micros, to_micros
from fintrack_tasks.session_times import TradingSessions

__all__ = ["Traded", "unlisted"]

Stamps = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_DAY: Final = timedelta(days=1) // timedelta(microseconds=1)
_CLOSING: Final = frozenset({AssetClass.STOCK, AssetClass.INDEX, AssetClass.COMMODITY})
"""The classes whose exchanges open for a day that is none: the days of the others follow from the clock."""
_WEEKEND: Final = (2, 3)
"""Days of the week, counted from Thursday, 1 January 1970, on which no futures trade."""
_NEIGHBOUR: Final = 10 * _DAY
"""How far the newest bar before others may lie from them and still say which sessions they left out: beyond that what
lies between was not asked for yet."""


@dataclass(frozen=True, slots=True)
class Traded:
    """What shows that bars were traded, for each of them, and the newest bar that is known before them all."""

    high: Floats
    low: Floats
    volume: Floats
    asset_class: AssetClass
    before: int | None = None


def unlisted(stamps: Stamps, sessions: TradingSessions, interval: Interval, traded: Traded) -> Mask:
    """Which bars prove a session on a day that the calendar closes.

    They have a range and a volume of their own (that of an index may be unknown or zero), and the listed sessions on
    either side of the day have bars, as far as these and the newest bar before them reach. Within a day that is proven
    so a bar of one price is no less a part of it than within any other.
    """
    days = _days(stamps, sessions.zone, interval)
    closed = ~np.isin(days, sessions.dates)
    if traded.asset_class is AssetClass.COMMODITY:  # on Good Friday some do (payrolls), on Saturday none
        closed &= ~np.isin(days // _DAY % 7, _WEEKEND)
    if traded.asset_class not in _CLOSING or not closed.any():
        return np.zeros(len(stamps), dtype=np.bool_)
    seen = set(days.tolist())
    if traded.before is not None:
        [before] = _days(np.array([traded.before]), sessions.zone, interval).tolist()
        if min(seen) - before <= _NEIGHBOUR:
            seen.add(before)
    alive = closed & _has_traded(stamps, traded)
    proven = np.zeros(len(stamps), dtype=np.bool_)
    for day in np.unique(days[alive]).tolist():
        if _fits(day, seen, sessions.dates):
            of_day = alive & (days == day)
            proven |= (days == day) & (stamps >= stamps[of_day].min()) & (stamps <= stamps[of_day].max())
    return proven


def _has_traded(stamps: Stamps, traded: Traded) -> Mask:
    own = traded.high > traded.low
    counted = np.nan_to_num(traded.volume) > 0
    order = np.argsort(stamps, kind="stable")
    repeated = np.zeros(len(stamps), dtype=np.bool_)
    repeated[order[1:]] = traded.volume[order[1:]] == traded.volume[order[:-1]]
    if traded.asset_class is AssetClass.INDEX:
        return own & ~(counted & repeated)
    return own & counted & ~repeated


def _fits(day: int, seen: set[int], listed: Stamps) -> bool:
    """Whether the listed sessions before and after a day are among those that were seen. Before the first day that was
    seen, and behind the last, there may be none yet: nothing speaks against them."""
    place = int(np.searchsorted(listed, day))
    before = day == min(seen) or (place > 0 and int(listed[place - 1]) in seen)
    return before and (day == max(seen) or (place < len(listed) and int(listed[place]) in seen))


def _days(stamps: Stamps, zone: str, interval: Interval) -> Stamps:
    """Midnight UTC of the local dates."""
    if interval is Interval.D1:
        return stamps - stamps % _DAY
    local = ZoneInfo(zone)
    dates = (from_micros(stamp).astimezone(local).date() for stamp in stamps.tolist())
    return np.array([to_micros(datetime.combine(date, time(), UTC)) for date in dates], dtype=np.int64)
