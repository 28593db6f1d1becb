"""Trading sessions and the bars that they should hold, over exchange_calendars.

A daily bar is stamped with midnight UTC of the session's local date; an intraday bar with the instant at which it
opens. Intraday bars are counted from the session's open (and again from the end of its lunch break), so that the last
one may be shorter than its interval. All times are microseconds since 1970 UTC or aware.

Currencies trade from Sunday 17:00 to Friday 17:00 in New York, in days that end there at 17:00 and bear the date of
that evening. exchange_calendars has no such calendar (its 24/5 has UTC days); here it is named :data:`FOREX`. Futures
trade from Sunday 18:00 to Friday 17:00 there, with an hour's pause each evening, on the days of the Chicago exchange
(its ``CMES`` leaves the pause out): :data:`FUTURES`. Closing auctions after the end of continuous trading belong to
their sessions here, as do the hours of a floor that exchange_calendars gives another venue's (:mod:`.calendars`).

Of an instrument without a known calendar nothing is expected, no bar lies outside a session, and dates are UTC's.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from fintrack_tasks.calendar_offsets import mend
from fintrack_tasks.calendars import AUCTIONS, FLOORS, FOREX, FUTURES, INDICES, LATE_PRINTS, OWN_HOURS, calendar_name
from fintrack_tasks.domain import AssetClass, Instrument, Interval, TimeRange, from_micros, to_micros
from fintrack_tasks.errors import CalendarError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "FOREX",
    "FUTURES",
    "GRACE",
    "askable_bars",
    "asked_as",
    "calendar_name",
    "expected_bars",
    "finals",
    "is_calendar",
    "is_final",
    "late_prints",
    "segments",
    "session_dates",
    "zone",
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

_FIRST: Final = "1970-01-01"
_LAST: Final = "2039-12-31"
_DAY: Final = 86_400_000_000
_HOUR: Final = 3_600_000_000
_NEW_YORK: Final = ZoneInfo("America/New_York")
_EVENING: Final = time(17)
"""When a day of currencies and one of futures ends in New York."""
_lock = threading.Lock()


def expected_bars(instrument: Instrument, interval: Interval, window: TimeRange) -> list[int]:
    """The stamps of all bars that a window should hold, ascending.

    Nothing is expected beyond what the calendar knows (1970 to 2039 for most), nor where no calendar is known.

    :raises CalendarError: when the instrument's calendar is unknown or cannot be computed.
    """
    import numpy as np  # noqa: PLC0415  # see _sessions

    sessions = _of(instrument)
    start, end = to_micros(window.start), to_micros(window.end)
    if interval is Interval.D1:
        stamps = sessions.dates
    else:
        # By segment: no bar of the window can belong to one that is over at its start or opens at its end.
        first, last = np.searchsorted(sessions.ends, start, "right"), np.searchsorted(sessions.starts, end, "left")
        starts, ends = sessions.starts[first:last], sessions.ends[first:last]
        step = interval.delta // timedelta(microseconds=1)
        counts = -((starts - ends) // step)  # rounded up: the last bar of a segment may be short
        nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        stamps = np.repeat(starts, counts) + nth * step
    found: list[int] = stamps[np.searchsorted(stamps, start) : np.searchsorted(stamps, end)].tolist()
    return found


def askable_bars(instrument: Instrument, interval: Interval, window: TimeRange) -> list[int]:
    """The stamps that stand for what may be asked for, ascending: of the expected bars, or, where no calendar is known,
    one for each interval of every day. What does not come of the latter is then known not to be there.

    :raises CalendarError: when the instrument's calendar is unknown or cannot be computed.
    """
    if calendar_name(instrument) is not None:
        return expected_bars(instrument, interval, window)
    step = interval.delta // timedelta(microseconds=1)
    first = -(-to_micros(window.start) // step) * step
    return list(range(first, to_micros(window.end), step))


def asked_as(instrument: Instrument, interval: Interval, timestamps: Sequence[int]) -> list[int]:
    """For each bar the stamp that stood for it in :func:`askable_bars`.

    Where a provider counts from another time than the session's opening, a bar stands for the expected one that it
    shares most of its time with: that one will not come.
    """
    if calendar_name(instrument) is not None:
        return list(timestamps) if interval is Interval.D1 else _nearest(instrument, interval, timestamps)
    step = interval.delta // timedelta(microseconds=1)
    return [stamp - stamp % step for stamp in timestamps]


def _nearest(instrument: Instrument, interval: Interval, timestamps: Sequence[int]) -> list[int]:
    """For each stamp the expected one that is at most half an interval away, of two the later, or the stamp itself."""
    import numpy as np  # noqa: PLC0415  # see _sessions

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


def is_final(instrument: Instrument, interval: Interval, timestamp_micros: int, now: datetime) -> bool:
    """Whether a bar can no longer change: its end, and :data:`GRACE` after it, lie at or before ``now``."""
    return finals(instrument, interval, [timestamp_micros], now)[0]


def finals(instrument: Instrument, interval: Interval, timestamps: Sequence[int], now: datetime) -> list[bool]:
    """:func:`is_final` of many stamps.

    An intraday stamp between two bars' opens (a live bar stamped with the time of the last trade) is taken for the
    bar that it lies in. Outside every session an intraday bar ends after its interval, and a daily one when its date
    is over everywhere on earth.

    :raises CalendarError: when the instrument's calendar is unknown or cannot be computed.
    """
    import numpy as np  # noqa: PLC0415  # see _sessions

    stamps = np.asarray(timestamps, dtype=np.int64)
    ends = _ends(_of(instrument), interval, stamps)
    grace = GRACE[instrument.asset_class] // timedelta(microseconds=1)
    result: list[bool] = (ends + grace <= to_micros(now)).tolist()
    return result


def segments(instrument: Instrument) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Where trading starts and ends, and midnight UTC of the session's local date, of each part of each session.

    A lunch break makes two parts of one session. Ascending; microseconds.

    :raises CalendarError: when the instrument's calendar is unknown or cannot be computed.
    """
    import numpy as np  # noqa: PLC0415  # see _sessions

    sessions = _of(instrument)
    return sessions.starts, sessions.ends, sessions.dates[np.searchsorted(sessions.closes, sessions.starts, "right")]


def session_dates(instrument: Instrument, timestamps: Sequence[int]) -> list[int]:
    """For each intraday stamp the session that it lies in, by its stamp: midnight UTC of the session's local date.

    What lies between two sessions belongs to the one to come.

    :raises CalendarError: when the instrument's calendar is unknown or cannot be computed.
    """
    import numpy as np  # noqa: PLC0415  # see _sessions

    sessions, stamps = _of(instrument), np.asarray(timestamps, dtype=np.int64)
    if not len(sessions.dates):
        utc: list[int] = (stamps - stamps % _DAY).tolist()
        return utc
    place = np.searchsorted(sessions.closes, stamps, "right")
    found: list[int] = sessions.dates[np.minimum(place, len(sessions.dates) - 1)].tolist()
    return found


def zone(instrument: Instrument) -> ZoneInfo:
    """The zone in which the dates of an instrument's sessions are local.

    :raises CalendarError: when the instrument's calendar is unknown or cannot be computed.
    """
    return ZoneInfo(_of(instrument).zone)


def late_prints(instrument: Instrument) -> timedelta:
    """How long after a session's end a bar may open that is not expected, yet one of the session."""
    return LATE_PRINTS.get(calendar_name(instrument) or "", timedelta(0))


def is_calendar(name: str) -> bool:
    """Whether sessions have such a name: one of exchange_calendars', its aliases included, or of ours."""
    import exchange_calendars  # noqa: PLC0415  see _sessions

    return name in (FOREX, FUTURES) or name in exchange_calendars.get_calendar_names(include_aliases=True)


@dataclass(frozen=True, slots=True)
class _Sessions:
    """A calendar as arrays of microseconds, ascending. Segments are the parts of sessions around a lunch break."""

    dates: NDArray[np.int64]
    """Midnight UTC of each session's local date."""
    closes: NDArray[np.int64]
    """Each session's close."""
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    settled: NDArray[np.int64]
    """When each session's daily bar is over: at the close, but for currencies."""
    zone: str


def _ends(sessions: _Sessions, interval: Interval, stamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """When the bars with these stamps end."""
    import numpy as np  # noqa: PLC0415  # see _sessions

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


def _of(instrument: Instrument) -> _Sessions:
    """The sessions of an instrument: its calendar's, at hours of its own where it has such."""
    name = calendar_name(instrument)
    own = instrument.symbol if instrument.symbol in OWN_HOURS and name == INDICES.get(instrument.symbol) else None
    return _sessions(name) if own is None else _at_own_hours(own)


@lru_cache(maxsize=64)
def _at_own_hours(index: str) -> _Sessions:
    there = _sessions(INDICES[index])
    starts, ends = _moved(there.starts, there.ends, *OWN_HOURS[index])
    return replace(there, starts=starts, ends=ends, closes=ends)


@lru_cache(maxsize=64)
def _sessions(name: str | None) -> _Sessions:
    """A calendar's sessions, computed once per process.

    numpy and exchange_calendars (which brings pandas) are imported here and not above: together they cost a process
    0.3 s and 60 MB, which workers that only fetch quotes never need.
    """
    if name == FOREX:
        return _forex()
    if name == FUTURES:
        return _futures(_sessions("CMES"))
    import numpy as np  # noqa: PLC0415  # see above

    if name is None:
        nothing = np.empty(0, np.int64)
        return _Sessions(nothing, nothing, nothing, nothing, nothing, "UTC")
    # catch_warnings alters state of the whole process, so that one thread at a time may be inside it.
    with _lock, warnings.catch_warnings():
        # exchange_calendars 4.13 reads Series.values and DatetimeIndex.weekday, which pandas 3.1 announces to change.
        for message in ("Series.values returning", "DatetimeIndex.weekday is deprecated"):
            warnings.filterwarnings("ignore", message, DeprecationWarning)
        calendar = _calendar(name)
        schedule = calendar.schedule
    dates = _micros(schedule.index)
    opens, closes = _hours(name, _micros(schedule["open"].array), _micros(schedule["close"].array))
    pause, resume = _micros(schedule["break_start"].array), _micros(schedule["break_end"].array)
    broken = schedule["break_start"].notna().to_numpy()
    starts = np.sort(np.concatenate([opens, resume[broken]]))
    ends = np.sort(np.concatenate([closes, pause[broken]]))
    return _Sessions(dates, closes, starts, ends, closes, str(calendar.tz))


def _hours(
    name: str, opens: NDArray[np.int64], closes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When sessions open and close with what exchange_calendars leaves out of them."""
    closes = closes + AUCTIONS.get(name, timedelta(0)) // timedelta(microseconds=1)
    return _moved(opens, closes, *FLOORS[name]) if name in FLOORS else (opens, closes)


def _moved(
    opens: NDArray[np.int64], closes: NDArray[np.int64], earlier: timedelta, later: timedelta
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hours that begin earlier, and on full days end later."""
    import numpy as np  # noqa: PLC0415  # see _sessions

    length = closes - opens
    full = np.where(length >= np.median(length), later // timedelta(microseconds=1), 0)
    return opens - earlier // timedelta(microseconds=1), closes + full


def _forex() -> _Sessions:
    """Currencies' trading days, Monday's to Friday's, each from 17:00 in New York of the day before to its own 17:00.

    In UTC that is 21:00 while New York keeps summer time and 22:00 otherwise. The clocks change while nobody trades, so
    that every day has 24 hours. A provider's daily bar may go on for longer: some cut their days at midnight in London
    or in UTC, and the last of these is over when the UTC date is.
    """
    import numpy as np  # noqa: PLC0415  # see _sessions

    first, last = date.fromisoformat(_FIRST).toordinal(), date.fromisoformat(_LAST).toordinal()
    days = [day for number in range(first, last + 1) if (day := date.fromordinal(number)).weekday() < 5]
    dates = np.array([day.toordinal() - first for day in days], np.int64) * _DAY
    closes = np.array([to_micros(datetime.combine(day, _EVENING, _NEW_YORK)) for day in days], np.int64)
    eves = (day - timedelta(days=1) for day in days)
    starts = np.array([to_micros(datetime.combine(eve, _EVENING, _NEW_YORK)) for eve in eves], np.int64)
    return _Sessions(dates, closes, starts, closes, dates + _DAY, _NEW_YORK.key)


def _futures(chicago: _Sessions) -> _Sessions:
    """The days of the Chicago exchange in New York's zone, each over at 17:00 there, or earlier where that one is."""
    import numpy as np  # noqa: PLC0415  # see _sessions

    days = (date.fromisoformat(_FIRST) + timedelta(days=number) for number in (chicago.dates // _DAY).tolist())
    evenings = np.array([to_micros(datetime.combine(day, _EVENING, _NEW_YORK)) for day in days], np.int64)
    closes = np.minimum(chicago.closes, evenings)
    return _Sessions(chicago.dates, closes, chicago.starts, closes, closes, _NEW_YORK.key)


def _calendar(name: str) -> Any:
    import exchange_calendars  # noqa: PLC0415  # see _sessions
    from exchange_calendars.errors import InvalidCalendarName  # noqa: PLC0415  # see _sessions

    mend()
    try:
        try:
            return exchange_calendars.get_calendar(name, start=_FIRST, end=_LAST)
        except ValueError:  # some calendars are known for fewer years, and say so only by what they refuse
            return exchange_calendars.get_calendar(name, **_bounds(name))
    except InvalidCalendarName:
        raise CalendarError(f"{name!r:.40} is not a calendar of exchange_calendars") from None
    except (NotImplementedError, ValueError) as error:
        detail = str(error).splitlines()[0]
        raise CalendarError(f"exchange_calendars cannot compute {name}: {detail:.120}") from None


def _bounds(name: str) -> dict[str, str]:
    """The part of 1970 to 2039 for which a calendar is known.

    Both ends are given: without them the library takes its own from the clock.
    """
    import exchange_calendars  # noqa: PLC0415  # see _sessions

    kind = type(exchange_calendars.get_calendar(name))
    earliest, latest = kind.bound_min(), kind.bound_max()
    return {
        "start": _FIRST if earliest is None else max(_FIRST, earliest.date().isoformat()),
        "end": _LAST if latest is None else min(_LAST, latest.date().isoformat()),
    }


def _micros(times: Any) -> NDArray[np.int64]:
    """Times of pandas, of any resolution, as microseconds; missing ones as the smallest integer."""
    micros: NDArray[np.int64] = times.as_unit("us").asi8
    return micros
