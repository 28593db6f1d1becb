"""Longer bars of the stored ones, made when they are read: none of them is stored, so none can be out of date."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import psycopg

from fintrack_tasks.calendars import calendar_name
from fintrack_tasks.domain import Instrument, Interval, TimeRange, from_micros, to_micros
from fintrack_tasks.errors import UsageError
from fintrack_tasks.queries import bars
from fintrack_tasks.session_times import TradingSessions, instrument_sessions
from fintrack_tasks.sessions import GRACE, expected_bars, requested_stamps
from fintrack_tasks.store import corporate_actions, coverage

if TYPE_CHECKING:
    from fintrack_tasks.transform.resample import BarLength

__all__ = ["SOURCES", "Adjust", "Aggregated", "aggregate_bars", "sessions_of"]

SOURCES: Final = {"1h": Interval.M15, "1d": Interval.H1, "1w": Interval.D1, "1mo": Interval.D1}
"""The length of the stored bars that longer ones are made of, where nobody says otherwise."""

_DAY: Final = timedelta(days=1)
_MONTH: Final = timedelta(days=31)


class Adjust(StrEnum):
    """Which actions are applied to prices before they are put together."""

    NONE = "none"
    SPLITS = "splits"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Aggregated:
    """Longer bars by column (see :func:`fintrack_tasks.transform.resample.aggregate_columns`), oldest first.

    :ivar source: the length of the bars that they are made of.
    :ivar splits: ex-dates inside the span of splits that were not applied: a raw bar that holds such a day mixes
        shares of two sizes.
    :ivar outside: how many stored bars of the span open in no session, and are part of no longer one.
    """

    columns: dict[str, list[Any]]
    source: Interval
    splits: list[date]
    outside: int = 0


def aggregate_bars(
    conn: psycopg.Connection,
    instrument_id: int,
    instrument: Instrument,
    to: BarLength,
    *,
    now: datetime,
    source: Interval | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    adjust: Adjust = Adjust.NONE,
) -> Aggregated:
    """The stored bars of an instrument, put together.

    ``start`` and ``end`` choose longer bars by their stamps, ``end`` excluded; none of them is cut. One is not final
    while it may still change, and while it lacks a bar that is expected and not confirmed absent.

    :param source: the length of the stored bars; that of :data:`SOURCES` by default.
    :raises UsageError: when such bars cannot be made of such ones, or ``end`` is not after ``start``.
    """
    from fintrack_tasks.transform.resample import BarLength, aggregate_columns  # noqa: PLC0415  numpy, for these alone

    interval = source or SOURCES.get(to.value, Interval.M15)
    length = BarLength(interval.value)
    if not length.can_form(to):
        raise UsageError(f"bars of {to.value} cannot be made of stored bars of {interval.value}")
    if start and end and end <= start:
        raise UsageError(f"the end ({end.date()}) must be after the start ({start.date()})")
    # A session may begin on the UTC date before its own, and a month goes on after its stamp.
    low, high = start - _DAY if start else None, end + _MONTH + _DAY if end else None
    columns = bars.read_columns(conn, instrument_id, interval, low, high, adjust.value)
    if not columns["timestamp"]:
        return Aggregated({**columns, "vwap": [], "parts": [], "missing": []}, interval, [])
    span = _span(columns["timestamp"], now, high)
    expected, sessions = expected_bars(instrument, interval, span), sessions_of(instrument)
    made = aggregate_columns(
        columns,
        length,
        to,
        sessions,
        until=to_micros(now - GRACE[instrument.asset_class]),
        missing=coverage.missing(
            conn, instrument_id, interval, expected, now, partial(requested_stamps, instrument, interval)
        ),
    )
    chosen = _between(made, start, end)
    splits = [] if adjust is not Adjust.NONE else _splits(conn, instrument_id, chosen["timestamp"], span)
    stored = _between({"timestamp": columns["timestamp"]}, start, end)["timestamp"]
    return Aggregated(chosen, interval, splits, _outside(stored, interval, sessions))


def sessions_of(instrument: Instrument) -> TradingSessions:
    """The sessions by which an instrument's bars are put together: the exchange's, UTC days, or currencies' days.

    Where no calendar is known they are UTC days.

    :raises ConfigurationError: when the instrument's calendar is unknown or cannot be computed.
    """
    known = calendar_name(instrument) is not None
    return instrument_sessions(instrument if known else replace(instrument, calendar="24/7"))


def _outside(stamps: list[int], interval: Interval, sessions: TradingSessions) -> int:
    """How many intraday bars open in no session."""
    import numpy as np  # noqa: PLC0415  see aggregate_bars

    if interval is Interval.D1 or not len(sessions.starts):
        return 0
    given = np.asarray(stamps, np.int64)
    place = np.searchsorted(sessions.starts, given, "right") - 1
    return int(np.count_nonzero((place < 0) | (given >= sessions.ends[place])))


def _span(stamps: list[int], now: datetime, high: datetime | None) -> TimeRange:
    """In which bars may be missing: also before the first one, in the week or month that it belongs to."""
    last = max(from_micros(stamps[-1] + 1), min(now, high or now))
    return TimeRange(from_micros(stamps[0]) - _MONTH, last)


def _between(made: dict[str, list[Any]], start: datetime | None, end: datetime | None) -> dict[str, list[Any]]:
    low, high = to_micros(start) if start else None, to_micros(end) if end else None
    kept = [
        place
        for place, stamp in enumerate(made["timestamp"])
        if (low is None or stamp >= low) and (high is None or stamp < high)
    ]
    return {name: [cells[place] for place in kept] for name, cells in made.items()}


def _splits(conn: psycopg.Connection, instrument_id: int, stamps: list[int], span: TimeRange) -> list[date]:
    if not stamps:
        return []
    return corporate_actions.splits_between(conn, instrument_id, from_micros(stamps[0]).date(), span.end.date())
