"""Bars of an hour, day, week or month aggregated from stored bars when they are read; they are never stored.

The arithmetic on columns is in :mod:`fintrack_tasks.transform.resample`; the stored bars come from
:mod:`fintrack_tasks.queries.bars`.
"""

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
from fintrack_tasks.queries import bars, corporate_actions
from fintrack_tasks.session_times import TradingSessions, instrument_sessions
from fintrack_tasks.sessions import GRACE, expected_bars, requested_stamps
from fintrack_tasks.store import coverage

if TYPE_CHECKING:
    from fintrack_tasks.transform.resample import BarLength

__all__ = ["SOURCES", "Adjust", "Aggregated", "aggregate_bars", "sessions_of"]

SOURCES: Final = {"1h": Interval.M15, "1d": Interval.H1, "1w": Interval.D1, "1mo": Interval.D1}
"""For each length of an aggregated bar, the default interval of the stored bars that it is made of."""

_DAY: Final = timedelta(days=1)
_MONTH: Final = timedelta(days=31)


class Adjust(StrEnum):
    """Which corporate actions are applied to prices before they are aggregated."""

    NONE = "none"
    SPLITS = "splits"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Aggregated:
    """Aggregated bars by column (see :func:`fintrack_tasks.transform.resample.aggregate_columns`), oldest first.

    :ivar source: the interval of the stored bars that they are made of.
    :ivar splits: ex-dates of splits inside the span that were not applied: a raw bar that spans such a day mixes
        prices before and after the split.
    :ivar outside: how many stored bars of the span open outside of every trading session, and are part of no
        aggregated bar.
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
    """The stored bars of an instrument, aggregated to bars of length ``to``.

    ``start`` (included) and ``end`` (excluded) choose aggregated bars by their opening times, and no bar is cut at
    either. A bar is not final while it may still change, or while it lacks a bar that is expected and not confirmed
    absent.

    :param source: the interval of the stored bars; that of :data:`SOURCES` by default.
    :raises UsageError: when bars of ``to`` cannot be made of bars of ``source``, or ``end`` is not after ``start``.
    """
    from fintrack_tasks.transform.resample import BarLength, aggregate_columns  # noqa: PLC0415  numpy, for these alone

    interval = source or SOURCES.get(to.value, Interval.M15)
    length = BarLength(interval.value)
    if not length.can_form(to):
        raise UsageError(f"bars of {to.value} cannot be made of stored bars of {interval.value}")
    if start and end and end <= start:
        raise UsageError(f"the end ({end.date()}) must be after the start ({start.date()})")
    # A trading session may open on the UTC date before its own date, and a monthly bar extends past its opening time.
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
    """The trading sessions by which an instrument's bars are aggregated: those of its exchange or of the fx market.

    Where no calendar is known they are UTC days.

    :raises ConfigurationError: when the instrument's calendar is unknown or cannot be computed.
    """
    known = calendar_name(instrument) is not None
    return instrument_sessions(instrument if known else replace(instrument, calendar="24/7"))


def _outside(stamps: list[int], interval: Interval, sessions: TradingSessions) -> int:
    """How many intraday bars open outside of every trading session."""
    import numpy as np  # noqa: PLC0415  see aggregate_bars

    if interval is Interval.D1 or not len(sessions.starts):
        return 0
    given = np.asarray(stamps, np.int64)
    position = np.searchsorted(sessions.starts, given, "right") - 1
    return int(np.count_nonzero((position < 0) | (given >= sessions.ends[position])))


def _span(stamps: list[int], now: datetime, high: datetime | None) -> TimeRange:
    """The range in which missing bars are looked for, which includes the week or month of the first stored bar."""
    last = max(from_micros(stamps[-1] + 1), min(now, high or now))
    return TimeRange(from_micros(stamps[0]) - _MONTH, last)


def _between(made: dict[str, list[Any]], start: datetime | None, end: datetime | None) -> dict[str, list[Any]]:
    """The rows whose ``timestamp`` is from ``start`` on and before ``end``."""
    low, high = to_micros(start) if start else None, to_micros(end) if end else None
    kept = [
        index
        for index, stamp in enumerate(made["timestamp"])
        if (low is None or stamp >= low) and (high is None or stamp < high)
    ]
    return {name: [cells[index] for index in kept] for name, cells in made.items()}


def _splits(conn: psycopg.Connection, instrument_id: int, stamps: list[int], span: TimeRange) -> list[date]:
    if not stamps:
        return []
    return corporate_actions.splits_between(conn, instrument_id, from_micros(stamps[0]).date(), span.end.date())
