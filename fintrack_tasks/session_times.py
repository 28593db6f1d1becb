"""When a calendar's trading sessions open and close, as arrays: :class:`TradingSessions`, over exchange_calendars.

Which calendar an instrument has is decided in :mod:`fintrack_tasks.calendars`; which bars its sessions hold and when a
bar is final is in :mod:`fintrack_tasks.sessions`. numpy and exchange_calendars are imported by the first call.

Currencies trade from Sunday 17:00 to Friday 17:00 in New York, in days that end there at 17:00 and bear the date of
that evening. exchange_calendars has no such calendar (its 24/5 has UTC days); here it is named :data:`FOREX`. Futures
trade from Sunday 18:00 to Friday 17:00 there, with an hour's pause each evening, on the days of the Chicago exchange
(its ``CMES`` leaves the pause out): :data:`FUTURES`. A closing auction after the end of continuous trading belongs to
its session here, as does the longer trading of a floor for which exchange_calendars has another venue's times.
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from fintrack_tasks.calendar_offsets import patch_offsets
from fintrack_tasks.calendars import (
    AUCTIONS,
    FLOORS,
    FOREX,
    FUTURES,
    INDICES,
    LATE_PRINTS,
    OWN_SESSION_TIMES,
    calendar_name,
)
from fintrack_tasks.domain import Instrument, to_micros
from fintrack_tasks.errors import CalendarError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Stamps = NDArray[np.int64]

__all__ = ["TradingSessions", "calendar_sessions", "instrument_sessions"]

_FIRST: Final = "1970-01-01"
_LAST: Final = "2039-12-31"
_DAY: Final = 86_400_000_000
_NEW_YORK: Final = ZoneInfo("America/New_York")
_EVENING: Final = time(17)
"""When a day of currencies and one of futures ends in New York."""
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class TradingSessions:
    """The sessions of a calendar as int64 arrays of one length, in microseconds since 1970 UTC, ascending.

    One element is one part of a session: a lunch break makes two parts, which have the same date. A calendar that is
    not known has empty arrays.

    :param starts: when trading starts in each part; ``ends`` when it ends there, itself excluded.
    :param dates: midnight UTC of the session's local date.
    :param settled: when the session's daily bar is over: at the close, but for currencies.
    :param zone: the IANA zone in which the dates are local.
    :param late: how long after the end of a part a bar may open and still belong to it, though none is expected.
    :param early: the same before its start.
    :raises ValueError: when the arrays differ in length, or a part begins before the one before it ends.
    """

    starts: Stamps
    ends: Stamps
    dates: Stamps
    settled: Stamps
    zone: str = "UTC"
    late: timedelta = timedelta(0)
    early: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        if len({len(self.starts), len(self.ends), len(self.dates), len(self.settled)}) != 1:
            raise ValueError("sessions need as many starts as ends and dates")
        if (self.ends <= self.starts).any() or (self.starts[1:] < self.ends[:-1]).any():
            raise ValueError("the parts of sessions must follow each other")

    @property
    def days(self) -> Stamps:
        """Midnight UTC of each session's local date, each session once."""
        import numpy as np  # noqa: PLC0415  # see calendar_sessions

        last_part = np.append(self.dates[1:] != self.dates[:-1], True)[: len(self.dates)]
        days: Stamps = self.dates[last_part]
        return days


def instrument_sessions(instrument: Instrument) -> TradingSessions:
    """The sessions of an instrument: its calendar's, at times of its own where it has such (:data:`OWN_SESSION_TIMES`).

    :raises CalendarError: when the instrument's calendar is unknown or cannot be computed.
    """
    name = calendar_name(instrument)
    own = (
        instrument.symbol if instrument.symbol in OWN_SESSION_TIMES and name == INDICES.get(instrument.symbol) else None
    )
    return calendar_sessions(name) if own is None else _at_own_times(own)


@lru_cache(maxsize=64)
def _at_own_times(index: str) -> TradingSessions:
    there = calendar_sessions(INDICES[index])
    starts, ends = _moved(there.starts, there.ends, *OWN_SESSION_TIMES[index])
    return replace(there, starts=starts, ends=ends)


@lru_cache(maxsize=64)
def calendar_sessions(name: str | None) -> TradingSessions:
    """The sessions of a calendar by its name, as :func:`fintrack_tasks.calendars.calendar_name` gives it.

    They are computed once per process and reach from 1970 to 2039, or as far as the calendar is known; there are none
    for ``None``. numpy and exchange_calendars (which brings pandas) are imported here and not above: together they cost
    a process 0.3 s and 60 MB, which workers that only fetch quotes never need.

    :raises CalendarError: when the calendar is unknown or cannot be computed.
    """
    if name == FOREX:
        return _forex()
    if name == FUTURES:
        return _futures(calendar_sessions("CMES"))
    import numpy as np  # noqa: PLC0415  # see above

    if name is None:
        nothing = np.empty(0, np.int64)
        return TradingSessions(nothing, nothing, nothing, nothing)
    # catch_warnings alters state of the whole process, so that one thread at a time may be inside it.
    with _lock, warnings.catch_warnings():
        # exchange_calendars 4.13 reads Series.values and DatetimeIndex.weekday, which pandas 3.1 announces to change.
        for message in ("Series.values returning", "DatetimeIndex.weekday is deprecated"):
            warnings.filterwarnings("ignore", message, DeprecationWarning)
        calendar = _calendar(name)
        schedule = calendar.schedule
    opens, closes = _completed(name, _micros(schedule["open"].array), _micros(schedule["close"].array))
    pause, resume = _micros(schedule["break_start"].array), _micros(schedule["break_end"].array)
    broken = schedule["break_start"].notna().to_numpy()
    starts = np.sort(np.concatenate([opens, resume[broken]]))
    ends = np.sort(np.concatenate([closes, pause[broken]]))
    session = np.searchsorted(closes, starts, "right")
    late = LATE_PRINTS.get(name, timedelta(0))
    return TradingSessions(starts, ends, _micros(schedule.index)[session], closes[session], str(calendar.tz), late)


def _completed(name: str, opens: Stamps, closes: Stamps) -> tuple[Stamps, Stamps]:
    """When sessions open and close, with what exchange_calendars leaves out of them."""
    closes = closes + AUCTIONS.get(name, timedelta(0)) // timedelta(microseconds=1)
    return _moved(opens, closes, *FLOORS[name]) if name in FLOORS else (opens, closes)


def _moved(opens: Stamps, closes: Stamps, earlier: timedelta, later: timedelta) -> tuple[Stamps, Stamps]:
    """Sessions that begin earlier, and on full days (those of at least the median length) end later."""
    import numpy as np  # noqa: PLC0415  # see calendar_sessions

    length = closes - opens
    full = np.where(length >= np.median(length), later // timedelta(microseconds=1), 0)
    return opens - earlier // timedelta(microseconds=1), closes + full


def _forex() -> TradingSessions:
    """Currencies' trading days, Monday's to Friday's, each from 17:00 in New York of the day before to its own 17:00.

    In UTC that is 21:00 while New York keeps summer time and 22:00 otherwise. The clocks change outside trading, so
    that every day has 24 hours. A provider's daily bar may go on for longer: some cut their days at midnight in London
    or in UTC, and the last of these is over when the UTC date is.
    """
    import numpy as np  # noqa: PLC0415  # see calendar_sessions

    first, last = date.fromisoformat(_FIRST).toordinal(), date.fromisoformat(_LAST).toordinal()
    days = [day for ordinal in range(first, last + 1) if (day := date.fromordinal(ordinal)).weekday() < 5]
    dates = np.array([day.toordinal() - first for day in days], np.int64) * _DAY
    ends = np.array([to_micros(datetime.combine(day, _EVENING, _NEW_YORK)) for day in days], np.int64)
    eves = (day - timedelta(days=1) for day in days)
    starts = np.array([to_micros(datetime.combine(eve, _EVENING, _NEW_YORK)) for eve in eves], np.int64)
    return TradingSessions(starts, ends, dates, dates + _DAY, _NEW_YORK.key)


def _futures(chicago: TradingSessions) -> TradingSessions:
    """The days of the Chicago exchange in New York's zone, each over at 17:00 there, or earlier where that one is."""
    import numpy as np  # noqa: PLC0415  # see calendar_sessions

    days = (date.fromisoformat(_FIRST) + timedelta(days=offset) for offset in (chicago.dates // _DAY).tolist())
    evenings = np.array([to_micros(datetime.combine(day, _EVENING, _NEW_YORK)) for day in days], np.int64)
    ends = np.minimum(chicago.ends, evenings)
    return TradingSessions(chicago.starts, ends, chicago.dates, ends, _NEW_YORK.key)


def _calendar(name: str) -> Any:
    import exchange_calendars  # noqa: PLC0415  # see calendar_sessions
    from exchange_calendars.errors import InvalidCalendarName  # noqa: PLC0415  # see calendar_sessions

    patch_offsets()
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
    import exchange_calendars  # noqa: PLC0415  # see calendar_sessions

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
