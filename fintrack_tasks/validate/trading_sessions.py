"""Checks bars against their calendar's trading sessions: outside of every session, or shifted by a zone's offset.

Sessions are instants, so that a change to summer time moves them and not the bars. Which bars outside are kept, because
they prove a session that the calendar lacks, is decided in :mod:`.unlisted_sessions`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fintrack_tasks.domain import Finding, Interval, from_micros
from fintrack_tasks.session_times import TradingSessions
from fintrack_tasks.validate.rules import finding
from fintrack_tasks.validate.unlisted_sessions import Traded, unlisted

__all__ = ["check_trading_sessions"]

Stamps = NDArray[np.int64]
Mask = NDArray[np.bool_]

_MICROSECOND: Final = timedelta(microseconds=1)
_HOUR: Final = timedelta(hours=1) // _MICROSECOND
_DAY: Final = 24 * _HOUR
_QUARTER: Final = _HOUR // 4
"""Offsets of zones are multiples of a quarter of an hour."""
_FARTHEST: Final = 14 * _HOUR
_ENOUGH: Final = 10
"""From so many rows on, dates that all fit the sessions a day off are taken for a shifted zone."""
_MOST_OF_A_SESSION: Final = 0.75


def check_trading_sessions(
    rows: Stamps,
    stamps: Stamps,
    sessions: TradingSessions,
    interval: Interval,
    margin: timedelta,
    traded: Traded | None = None,
) -> list[Finding]:
    """The findings of ``shifted_zone``, ``outside_session`` and ``unlisted_session`` on bars.

    There are none on bars before the calendar's first session or after its last.

    :param rows: int64, the positions that findings name, one for each stamp.
    :param stamps: int64 microseconds, in any order.
    :param margin: how long before a part of a session, and how long after it, an intraday bar may lie.
    :param traded: without it no bar proves a session that the calendar lacks.
    """
    if not len(sessions.starts):
        return []
    if interval is Interval.D1:
        found = _daily(rows, stamps, sessions)
    elif interval.delta < timedelta(days=1):
        still = np.zeros(len(stamps), np.bool_) if traded is None else _still(traded)
        found = _intraday(rows, stamps, sessions, interval.delta // _MICROSECOND, margin // _MICROSECOND, still)
    else:
        return []
    if traded is None or not any(one.rule == "outside_session" for one in found):
        return found
    proven = dict(zip(rows.tolist(), unlisted(stamps, sessions, interval, traded).tolist(), strict=True))
    return [_kept(one) if one.rule == "outside_session" and proven[one.row or 0] else one for one in found]


def _kept(one: Finding) -> Finding:
    return finding("unlisted_session", one.row, f"{one.detail}, yet it was traded: the calendar may lack a session")


def _daily(rows: Stamps, stamps: Stamps, sessions: TradingSessions) -> list[Finding]:
    off = stamps % _DAY != 0
    found = [
        finding("shifted_zone", int(row), f"a daily bar is stamped {from_micros(int(stamp)):%H:%M}, not midnight UTC")
        for row, stamp in zip(rows[off], stamps[off], strict=True)
    ]
    rows, stamps = rows[~off], stamps[~off]
    known = (stamps >= sessions.dates[0]) & (stamps <= sessions.dates[-1])
    outside = known & ~_is_among(stamps, sessions.dates)
    if not outside.any():
        return found
    if len(stamps) >= _ENOUGH and outside.sum() * 20 > len(stamps):
        for days in (1, -1):
            if _is_among(stamps + days * _DAY, sessions.dates).all():
                detail = f"all dates of the batch fit the sessions when they are moved by {days:+d} day"
                return found + [finding("shifted_zone", int(row), detail) for row in rows]
    return found + [
        finding("outside_session", int(row), f"{from_micros(int(stamp)):%A %Y-%m-%d} is no session")
        for row, stamp in zip(rows[outside], stamps[outside], strict=True)
    ]


def _still(traded: Traded) -> Mask:
    """Which bars have one price and no volume: after a session's end these only repeat its close."""
    still: Mask = (traded.high == traded.low) & ~(np.nan_to_num(traded.volume) > 0)
    return still


def _intraday(
    rows: Stamps, stamps: Stamps, sessions: TradingSessions, step: int, margin: int, still: Mask
) -> list[Finding]:
    known = (stamps >= sessions.starts[0]) & (stamps < sessions.ends[-1])
    # The first part that ends after the stamp: the bar overlaps it when it ends after that part's start.
    place = np.minimum(np.searchsorted(sessions.ends, stamps, "right"), len(sessions.ends) - 1)
    over = sessions.ends[np.maximum(place - 1, 0)]
    early = max(margin, sessions.early // _MICROSECOND)
    late = np.where(still, margin, max(margin, sessions.late // _MICROSECOND))
    outside = known & (stamps + step + early <= sessions.starts[place]) & (stamps >= over + late)
    if not outside.any():
        return []
    moved = _moved_runs(stamps, outside, sessions, step)
    found = []
    for position in np.flatnonzero(outside | (moved != 0)):
        row, at = int(rows[position]), from_micros(int(stamps[position]))
        if shift := int(moved[position]):
            detail = f"the session's bars fit when they are moved by {shift / _HOUR:+g} hours"
            found.append(finding("shifted_zone", row, detail))
        else:
            found.append(finding("outside_session", row, f"{at:%A %Y-%m-%d %H:%M} UTC lies in no session"))
    return found


def _moved_runs(stamps: Stamps, outside: Mask, sessions: TradingSessions, step: int) -> Stamps:
    """For each bar the shift in microseconds that moves its run of consecutive bars onto a session, else 0.

    The run has to fill most of the session, and the shift to be a possible difference between two zones.
    """
    moved = np.zeros(len(stamps), dtype=np.int64)
    order = np.argsort(stamps, kind="stable")
    for run in np.split(order, np.flatnonzero(np.diff(stamps[order]) > step) + 1):
        if not outside[run].any():
            continue
        first, last = stamps[run[0]], stamps[run[-1]]
        near = np.searchsorted(sessions.starts, first)
        for start, end in zip(
            sessions.starts[max(near - 1, 0) : near + 1], sessions.ends[max(near - 1, 0) :], strict=False
        ):
            shift = int(start - first)
            length = last + step - first
            fits = last + shift < end and length >= _MOST_OF_A_SESSION * (end - start)
            if fits and 0 < abs(shift) <= _FARTHEST and shift % _QUARTER == 0:
                moved[run] = shift
                break
    return moved


def _is_among(stamps: Stamps, dates: Stamps) -> Mask:
    place = np.minimum(np.searchsorted(dates, stamps), len(dates) - 1)
    among: Mask = dates[place] == stamps
    return among
