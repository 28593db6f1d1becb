"""Trading sessions and the bars that they should have, by the exchange's own calendar (exchange_calendars).

Daily bars carry midnight UTC of the local session date, intraday bars the true instant at which they open.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from fintrack_tasks.domain import AssetClass, Instrument, Interval, Window, from_micros, to_micros

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

__all__ = ["calendar_name", "expected_bars", "finals", "is_final"]

_BY_CLASS: Final = {
    AssetClass.STOCK: "XNYS",
    AssetClass.INDEX: "XNYS",
    AssetClass.CRYPTO: "24/7",
    AssetClass.FOREX: "24/5",
}
_BY_SUFFIX: Final = {
    "AS": "XAMS", "AX": "XASX", "BR": "XBRU", "CO": "XCSE", "DE": "XETR", "F": "XFRA", "HE": "XHEL", "HK": "XHKG",
    "IC": "XICE", "IR": "XDUB", "IS": "XIST", "JK": "XIDX", "JO": "XJSE", "KL": "XKLS", "KS": "XKRX", "L": "XLON",
    "LS": "XLIS", "MC": "XMAD", "MI": "XMIL", "MX": "XMEX", "NZ": "XNZE", "OL": "XOSL", "PA": "XPAR", "PR": "XPRA",
    "SA": "BVMF", "SI": "XSES", "SN": "XSGO", "SS": "XSHG", "ST": "XSTO", "SW": "XSWX", "SZ": "XSHG", "T": "XTKS",
    "TA": "XTAE", "TO": "XTSE", "TW": "XTAI", "VI": "XWBO", "WA": "XWAR", "BO": "XBOM", "NS": "XBOM",
}  # fmt: skip
"""The exchange behind a symbol's suffix, where it is not New York."""

_GRACE: Final = timedelta(minutes=20)
"""Providers publish a bar some minutes after its close (15 where prices are delayed)."""
_FIRST_YEAR: Final = 1990
_MICRO: Final = timedelta(microseconds=1)


def calendar_name(instrument: Instrument) -> str:
    """The calendar of an instrument: its own, that of its symbol's suffix, or its asset class' default."""
    if instrument.calendar:
        return instrument.calendar
    if instrument.asset_class is AssetClass.STOCK:
        suffix = instrument.symbol.rpartition(".")[2] if "." in instrument.symbol else ""
        return _BY_SUFFIX.get(suffix, "XNYS")
    return _BY_CLASS[instrument.asset_class]


@cache
def _calendar(name: str, first_year: int) -> ExchangeCalendar:
    # Imported here: it brings pandas along, half a second that only planning and bars need, not quotes.
    import exchange_calendars  # noqa: PLC0415

    with warnings.catch_warnings():
        # Some calendars build their holidays with offsets that pandas 3 has deprecated; the dates are right.
        warnings.simplefilter("ignore")
        made = exchange_calendars.get_calendar(name)
        start = max(date(first_year, 1, 1), _earliest(made))
        return exchange_calendars.get_calendar(name, start=start.isoformat())


def _earliest(calendar: ExchangeCalendar) -> date:
    bound = type(calendar).bound_min()
    return date(1900, 1, 1) if bound is None else bound.date()


@cache
def _sessions(name: str, first_year: int) -> tuple[list[date], list[int], list[int], list[Any]]:
    """Session dates, opens and closes (microseconds), and the breaks: ``None`` or (start, end)."""
    calendar = _calendar(name, first_year)
    schedule = calendar.schedule
    opens = [to_micros(t.to_pydatetime()) for t in schedule["open"]]
    closes = [to_micros(t.to_pydatetime()) for t in schedule["close"]]
    pauses = [
        (to_micros(starts.to_pydatetime()), to_micros(ends.to_pydatetime())) if starts.year > 1 else None
        for starts, ends in zip(schedule["break_start"], schedule["break_end"], strict=True)
    ]
    return [t.date() for t in schedule.index], opens, closes, pauses


def _table(instrument: Instrument, first: date) -> tuple[list[date], list[int], list[int], list[Any]]:
    """The calendar from 1990, or from the decade in which the window begins."""
    return _sessions(calendar_name(instrument), min(_FIRST_YEAR, first.year // 10 * 10))


def _midnight(day: date) -> int:
    return to_micros(datetime(day.year, day.month, day.day, tzinfo=UTC))


def expected_bars(instrument: Instrument, interval: Interval, window: Window) -> list[int]:
    """The opening times (microseconds since 1970, ascending) of the bars that should open in ``[start, end)``.

    A bar of an hour or a quarter opens every interval from the session's open to its close; the last one may be
    shorter. Sessions lie on the exchange's calendar, early closes and lunch breaks included.
    """
    dates, opens, closes, pauses = _table(instrument, window.start.date())
    if interval is Interval.D1:
        # The date of a session is its name: a window's start in the middle of a day leaves that day out.
        first = bisect_left(dates, (window.start - _MICRO).date() + timedelta(days=1))
        last = bisect_left(dates, (window.end - _MICRO).date() + timedelta(days=1))
        return [_midnight(day) for day in dates[first:last]]
    start, end, step = to_micros(window.start), to_micros(window.end), interval.delta // _MICRO
    found: list[int] = []
    for index in range(bisect_right(closes, start), bisect_left(opens, end)):
        pause = pauses[index]
        parts = (
            [(opens[index], closes[index])] if pause is None else [(opens[index], pause[0]), (pause[1], closes[index])]
        )
        for low, high in parts:
            found += [moment for moment in range(low, high, step) if start <= moment < end]
    return found


def finals(instrument: Instrument, interval: Interval, stamps: Sequence[int], now: datetime) -> list[bool]:
    """For each bar (its opening time, microseconds) whether it has closed, with a grace for late providers."""
    limit = to_micros(now - _GRACE)
    if interval is not Interval.D1:
        step = interval.delta // _MICRO
        return [stamp + step <= limit for stamp in stamps]
    if not stamps:
        return []
    dates, _, closes, _ = _table(instrument, from_micros(min(stamps)).date())
    found = []
    for stamp in stamps:
        day = from_micros(stamp).date()
        index = bisect_left(dates, day)
        # A bar on a day that the calendar does not know has ended when that day has ended everywhere.
        known = index < len(dates) and dates[index] == day
        found.append((closes[index] if known else _midnight(day) + 36 * 3_600_000_000) <= limit)
    return found


def is_final(instrument: Instrument, interval: Interval, stamp: int, now: datetime) -> bool:
    """Whether one bar has closed; see :func:`finals`."""
    return finals(instrument, interval, [stamp], now)[0]
