"""Which bars an instrument's trading sessions should hold, and when a bar is final.

A daily bar is stamped with midnight UTC of the session's local date; an intraday bar with the instant at which it
opens. Intraday bars are counted from the session's open (and again from the end of its lunch break), so that the last
one may be shorter than its interval. Stamps are microseconds since 1970 UTC, all other times are aware.

When sessions open and close is known to :mod:`fintrack_tasks.session_times`. Of an instrument without a known calendar
no bar is expected, no bar lies outside a session, and dates are UTC's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from fintrack_tasks.calendars import calendar_name
from fintrack_tasks.domain import AssetClass, Instrument, Interval, TimeRange, from_micros, to_micros
from fintrack_tasks.session_times import TradingSessions, instrument_sessions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "GRACE",
    "are_final",
    "calendar_name",
    "expected_bars",
    "requestable_bars",
    "requested_stamps",
    "session_dates",
]

GRACE: Final = {
    AssetClass.STOCK: timedelta(minutes=20),
    AssetClass.INDEX: timedelta(minutes=20),
    AssetClass.CRYPTO: timedelta(minutes=1),
    AssetClass.FOREX: timedelta(minutes=1),
    AssetClass.COMMODITY: timedelta(minutes=20),
}
"""How long after its end a bar may still change: exchanges' free feeds are 15 minutes late, and the closing auction
prints after the close; markets without a close only have to send their last trades."""

_DAY: Final = 86_400_000_000
_HOUR: Final = 3_600_000_000


def expected_bars(instrument: Instrument, interval: Interval, window: TimeRange) -> list[int]:
    """The stamps (microseconds) of all bars that a window should hold, ascending.

    Nothing is expected beyond what the calendar knows (1970 to 2039 for most), nor where no calendar is known.

    :raises CalendarError: when the instrument's calendar is unknown or cannot be computed.
    """
    import numpy as np  # noqa: PLC0415  # see session_times

    sessions = instrument_sessions(instrument)
    start, end = to_micros(window.start), to_micros(window.end)
    if interval is Interval.D1:
        stamps = sessions.days
    else:
        # By part of a session: no bar of the window can belong to one that is over at its start or opens at its end.
        first, last = np.searchsorted(sessions.ends, start, "right"), np.searchsorted(sessions.starts, end, "left")
        starts, ends = sessions.starts[first:last], sessions.ends[first:last]
        step = interval.delta // timedelta(microseconds=1)
        counts = -((starts - ends) // step)  # rounded up: the last bar of a part may be short
        nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        stamps = np.repeat(starts, counts) + nth * step
    found: list[int] = stamps[np.searchsorted(stamps, start) : np.searchsorted(stamps, end)].tolist()
    return found


def requestable_bars(instrument: Instrument, interval: Interval, window: TimeRange) -> list[int]:
    """The stamps of all bars that a provider may be asked for, ascending.

    They are the expected bars or, where no calendar is known, one bar for each interval of every day; of the latter,
    those that no answer holds are then recorded as absent.

    :raises CalendarError: when the instrument's calendar is unknown or cannot be computed.
    """
    if calendar_name(instrument) is not None:
        return expected_bars(instrument, interval, window)
    step = interval.delta // timedelta(microseconds=1)
    first = -(-to_micros(window.start) // step) * step
    return list(range(first, to_micros(window.end), step))


def requested_stamps(instrument: Instrument, interval: Interval, timestamps: Sequence[int]) -> list[int]:
    """For each bar of an answer the stamp among :func:`requestable_bars` that it answers.

    Where a provider counts intraday bars from another time than the session's open, that is the expected bar that
    overlaps it most: no other will come for it.
    """
    if calendar_name(instrument) is not None:
        return list(timestamps) if interval is Interval.D1 else _nearest(instrument, interval, timestamps)
    step = interval.delta // timedelta(microseconds=1)
    return [stamp - stamp % step for stamp in timestamps]


def _nearest(instrument: Instrument, interval: Interval, timestamps: Sequence[int]) -> list[int]:
    """For each stamp the expected one that is at most half an interval away, of two the later, or the stamp itself."""
    import numpy as np  # noqa: PLC0415  # see session_times

    stamps = np.asarray(timestamps, dtype=np.int64)
    if not len(stamps):
        return []
    window = TimeRange(from_micros(int(stamps.min())) - interval.delta, from_micros(int(stamps.max())) + interval.delta)
    grid = np.asarray(expected_bars(instrument, interval, window), dtype=np.int64)
    if not len(grid):
        return list(timestamps)
    after = np.minimum(np.searchsorted(grid, stamps), len(grid) - 1)
    before = np.maximum(after - 1, 0)
    near = np.where(np.abs(grid[after] - stamps) <= np.abs(stamps - grid[before]), grid[after], grid[before])
    half = interval.delta // timedelta(microseconds=2)
    found: list[int] = np.where(np.abs(near - stamps) <= half, near, stamps).tolist()
    return found


def are_final(instrument: Instrument, interval: Interval, timestamps: Sequence[int], now: datetime) -> list[bool]:
    """For each bar whether it can no longer change: its end, and :data:`GRACE` after it, lie at or before ``now``.

    An intraday stamp between the opens of two bars (a live bar stamped with the time of its last trade) stands for the
    bar that it lies in. Outside every session an intraday bar ends after its interval, and a daily one when its date
    is over everywhere on earth.

    :raises CalendarError: when the instrument's calendar is unknown or cannot be computed.
    """
    import numpy as np  # noqa: PLC0415  # see session_times

    stamps = np.asarray(timestamps, dtype=np.int64)
    ends = _ends(instrument_sessions(instrument), interval, stamps)
    grace = GRACE[instrument.asset_class] // timedelta(microseconds=1)
    result: list[bool] = (ends + grace <= to_micros(now)).tolist()
    return result


def session_dates(instrument: Instrument, timestamps: Sequence[int]) -> list[int]:
    """For each intraday stamp the session that it lies in, by its stamp: midnight UTC of the session's local date.

    A stamp between two sessions belongs to the later one.

    :raises CalendarError: when the instrument's calendar is unknown or cannot be computed.
    """
    import numpy as np  # noqa: PLC0415  # see session_times

    sessions, stamps = instrument_sessions(instrument), np.asarray(timestamps, dtype=np.int64)
    if not len(sessions.dates):
        utc: list[int] = (stamps - stamps % _DAY).tolist()
        return utc
    place = np.searchsorted(sessions.ends, stamps, "right")
    found: list[int] = sessions.dates[np.minimum(place, len(sessions.dates) - 1)].tolist()
    return found


def _ends(sessions: TradingSessions, interval: Interval, stamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """When the bars with these stamps end."""
    import numpy as np  # noqa: PLC0415  # see session_times

    step = interval.delta // timedelta(microseconds=1)
    if not len(sessions.dates):
        return stamps - stamps % _DAY + 36 * _HOUR if interval is Interval.D1 else stamps + step
    if interval is Interval.D1:
        dates = stamps - stamps % _DAY
        place = np.searchsorted(sessions.dates, dates, "right") - 1
        known = (place >= 0) & (sessions.dates[place] == dates)
        return np.where(known, sessions.settled[place], dates + 36 * _HOUR)
    place = np.searchsorted(sessions.starts, stamps, "right") - 1
    start, end = sessions.starts[place], sessions.ends[place]
    known = (place >= 0) & (stamps < end)
    return np.where(known, np.minimum(start + ((stamps - start) // step + 1) * step, end), stamps + step)
