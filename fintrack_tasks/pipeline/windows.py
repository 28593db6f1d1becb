"""How wanted bars are cut into request windows, and which recent bars are requested again with them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from fintrack_tasks.domain import Instrument, Interval, TimeRange, from_micros
from fintrack_tasks.sessions import requestable_bars, session_dates

__all__ = ["newest_sessions", "windows", "with_newest"]

_RECENT: Final = timedelta(days=14)
"""Longer than any exchange was closed in a row for."""
_DAY: Final = timedelta(days=1)
_MICROSECOND: Final = timedelta(microseconds=1)


def windows(expected: Sequence[int], missing: Sequence[int], interval: Interval, page: int) -> Iterator[TimeRange]:
    """The fewest windows, each of at most ``page`` expected bars, that cover every missing bar.

    :param expected: opening times of all expected bars, microseconds, ascending.
    :param missing: those of them that are missing, ascending.
    """
    position = {moment: index for index, moment in enumerate(expected)}
    begin = 0
    while begin < len(missing):
        limit = position[missing[begin]] + page
        last = begin
        while last + 1 < len(missing) and position[missing[last + 1]] < limit:
            last += 1
        yield TimeRange(from_micros(missing[begin]), from_micros(missing[last]) + interval.delta)
        begin = last + 1


def newest_sessions(
    instrument: Instrument,
    interval: Interval,
    expected: Sequence[int],
    wanted: Sequence[int],
    sessions: int,
    now: datetime,
) -> list[list[int]]:
    """The expected bars of the last sessions before the first recent wanted bar, by session, oldest first.

    Empty where no bar of the last weeks is wanted.
    """
    days = (
        requestable_bars(instrument, Interval.D1, TimeRange(now - _RECENT - sessions * 2 * _DAY, now))
        if sessions
        else []
    )
    begin = days[0] - _DAY // _MICROSECOND if days else 0
    late = wanted[bisect_left(wanted, begin) :] if days else []
    tail = expected[bisect_left(expected, begin) : bisect_left(expected, late[0])] if late else []
    of = tail if interval is Interval.D1 else session_dates(instrument, tail)
    found: dict[int, list[int]] = {}
    for stamp, day in zip(tail, of, strict=True):
        found.setdefault(day, []).append(stamp)
    return list(found.values())[-sessions:] if sessions else []


def with_newest(
    expected: Sequence[int], wanted: Sequence[int], newest: Sequence[Sequence[int]], interval: Interval, page: int
) -> Sequence[int]:
    """The wanted bars with those of the newest sessions that fit into the same windows.

    An exchange, or a provider, corrects a session's bars for some days after its close. They are requested again
    together with later bars, so that they cost no request of their own.
    """
    least = len(list(windows(expected, wanted, interval, page))) if newest else 0
    while newest:
        joined = sorted({*wanted, *(stamp for stamps in newest for stamp in stamps)})
        if len(list(windows(expected, joined, interval, page))) <= least:
            return joined
        newest = newest[1:]
    return wanted
