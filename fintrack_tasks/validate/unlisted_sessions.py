"""Decides which bars prove a trading session that the calendar lacks: special Saturdays, evenings of Muhurat trading.

Calendars are maintained by hand, and exchanges announce sessions at short notice (exchange_calendars#394). A bar under
a wrong date proves none: it leaves a gap where it belongs, or repeats what was traded on another day. Bars are checked
against the listed sessions in :mod:`.trading_sessions`.
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
"""The classes whose exchanges may open on an unlisted day; the trading days of the others follow from the clock."""
_WEEKEND: Final = (2, 3)
"""Days of the week, counted from Thursday, 1 January 1970, on which no futures trade."""
_NEIGHBOUR: Final = 10 * _DAY
"""The newest prior bar counts only within this distance: beyond it the sessions in between were not asked for."""


@dataclass(frozen=True, slots=True)
class Traded:
    """What shows that bars were traded: arrays of one length, one element a bar.

    :param before: the stamp of the newest known bar before them all, in microseconds.
    """

    high: Floats
    low: Floats
    volume: Floats
    asset_class: AssetClass
    before: int | None = None


def unlisted(stamps: Stamps, sessions: TradingSessions, interval: Interval, traded: Traded) -> Mask:
    """A mask of the bars that prove a session on a day on which the calendar is closed.

    They have a range, and a volume that does not repeat that of the bar before (an index's may be unknown or zero); and
    the listed sessions on either side of the day have bars, as far as these and the newest bar before them reach.
    Within a day proven in this way, bars of a single price belong to the session as well.
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
    """Whether the listed sessions before and after a day have bars. The first and the last day with bars need one side
    only: beyond them nothing is known."""
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
