"""Aggregates bars to longer ones: 1m, 5m and 15m to 1h, 1d, 1w and 1mo, by trading sessions, in exact decimals.

Stored bars are aggregated in :mod:`fintrack_tasks.queries.aggregate`.

A bar belongs to the session that it opens in, by the session's own open and close: half days, lunch breaks and changes
of the clocks are what the given :class:`~fintrack_tasks.session_times.TradingSessions` say. Hours count from the open,
and again from the end of a lunch break. A week begins on Monday and a month on its first day, by the sessions' local
dates; both are stamped with midnight UTC of that day, a day with midnight UTC of its local date, an hour with its own
opening.

Gaps stay gaps: nothing is filled, there is no longer bar without any part, and a bar that may still change, or that
lacks a part, is not final. All times are microseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fintrack_tasks.session_times import TradingSessions

__all__ = [
    "BarGroups",
    "BarLength",
    "aggregate_columns",
    "group",
]

Integers = NDArray[np.int64]

_DAY: Final = 86_400_000_000
_MINUTE: Final = 60_000_000
_PRICES: Final = ("open", "high", "low", "close")
_EXACT: Final = Context(prec=100, rounding=ROUND_HALF_EVEN)
_FIFTEEN_DIGITS: Final = Context(prec=15, rounding=ROUND_HALF_EVEN)


class BarLength(StrEnum):
    """The length of a bar, shortest first; bars of a :class:`fintrack_tasks.domain.Interval` are stored."""

    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    H1 = "1h"
    D1 = "1d"
    W1 = "1w"
    MO1 = "1mo"

    @property
    def step(self) -> int | None:
        """The length in microseconds; ``None`` for a day and longer, whose length differs."""
        minutes = {"1m": 1, "5m": 5, "15m": 15, "1h": 60}.get(self.value)
        return minutes * _MINUTE if minutes else None

    @property
    def intraday(self) -> bool:
        return self.step is not None

    def can_form(self, longer: BarLength) -> bool:
        """Whether bars of this length can be aggregated to ``longer`` ones."""
        order = list(BarLength)
        # Weeks do not divide months.
        return order.index(self) < order.index(longer) and self is not BarLength.W1


@dataclass(frozen=True, slots=True)
class BarGroups:
    """Which bars are the parts of which longer bar.

    :ivar rows: positions of the parts, ascending.
    :ivar first: for each longer bar where its parts begin in ``rows``; the arrays below have the same length.
    :ivar timestamp: the stamp of each longer bar; ``end`` its end; ``missing`` how many parts it lacks.
    """

    rows: Integers
    first: Integers
    timestamp: Integers
    end: Integers
    missing: Integers

    def __len__(self) -> int:
        return len(self.first)

    @property
    def counts(self) -> Integers:
        """How many parts each longer bar has."""
        return np.diff(np.append(self.first, len(self.rows)))


def group(
    timestamps: Integers,
    usable: NDArray[np.bool_],
    length: BarLength,
    to: BarLength,
    sessions: TradingSessions,
    missing: Sequence[int] | Integers = (),
) -> BarGroups:
    """Assign bars to longer ones by their stamps.

    Bars that are not ``usable`` (a null close) and intraday bars outside every session are left out.

    :param timestamps: strictly ascending.
    :param length: of the given bars; ``to`` of the longer ones.
    :param missing: stamps of bars that are expected and not known to be absent for good.
    :raises ValueError: when the stamps do not ascend, or ``to`` cannot be formed of such bars.
    """
    if not length.can_form(to):
        raise ValueError(f"bars of {length} do not make bars of {to}")
    if (timestamps[1:] <= timestamps[:-1]).any():
        raise ValueError("the stamps of bars must ascend, each one once")
    stamps, known = _buckets(timestamps, length, to, sessions)
    rows = np.flatnonzero(known & usable)
    stamps = stamps[rows]
    first = np.flatnonzero(np.append(True, stamps[1:] != stamps[:-1])[: len(stamps)])
    made = stamps[first]
    lacking = _lacking(np.asarray(missing, np.int64), timestamps[rows], length, to, sessions)
    counted = np.searchsorted(lacking, made, "right") - np.searchsorted(lacking, made, "left")
    return BarGroups(rows, first, made, _ends(made, to, sessions), counted)


def aggregate_columns(
    columns: Mapping[str, Sequence[Any]],
    length: BarLength,
    to: BarLength,
    sessions: TradingSessions,
    *,
    until: int,
    missing: Sequence[int] | Integers = (),
) -> dict[str, list[Any]]:
    """Longer bars by column: open of the first part, highest high, lowest low, close of the last part, sum of volumes.

    Columns are as in a :class:`~fintrack_tasks.domain.Batch`, ascending by ``timestamp``. Prices are decimal text (or
    ``Decimal``) and come out as they went in; volumes add up without rounding.

    - Of a part whose high or low is null, what it is known to have reached counts: its open and close. An open is null
      when that of the first part is. A part whose close is null is left out.
    - ``adj_close`` is that of the last part.
    - ``volume`` is null when that of any part is: a sum of what is known would be too small.
    - ``vwap`` = sum(price x volume) / sum(volume), a part's price being its own ``vwap`` or else its typical price,
      (high + low + close) / 3; to 15 significant digits, null without volume.
    - ``is_final`` when the bar's end lies at or before ``until``, every part is final and none is missing. A bar that
      is not final is the bar so far; aggregating again later gives its successor under the same stamp.
    - ``parts`` counts the bars that a longer one was made of, ``missing`` those that should have been there.

    :param length: of the bars that are given; ``to`` that of the bars to be made.
    :param until: microseconds; a bar that ended by then can no longer change.
    :param missing: see :func:`group`.
    :raises ValueError: when the stamps do not ascend, or ``to`` cannot be formed of such bars.
    """
    columns = {**columns, "high": _reached(columns, "high", max), "low": _reached(columns, "low", min)}
    usable = np.array([cell is not None for cell in columns["close"]], np.bool_)
    stamps = np.asarray(columns["timestamp"], np.int64)
    groups = group(stamps, usable, length, to, sessions, missing)
    nothing = [None] * len(stamps)
    cells = {name: columns.get(name, nothing) for name in (*_PRICES, "volume", "adj_close", "vwap")}
    finals: Sequence[Any] = columns.get("is_final", [True] * len(stamps))
    made: dict[str, list[Any]] = {"timestamp": groups.timestamp.tolist()}
    made |= {name: [] for name in (*_PRICES, "adj_close", "volume", "vwap", "is_final", "parts", "missing")}
    for begin, count, end, lacking in zip(groups.first, groups.counts, groups.end, groups.missing, strict=True):
        rows = groups.rows[begin : begin + count].tolist()
        for name, value in _longer_bar(cells, rows).items():
            made[name].append(value)
        made["is_final"].append(bool(end <= until and not lacking and all(finals[row] for row in rows)))
        made["parts"].append(len(rows))
        made["missing"].append(int(lacking))
    return made


def _longer_bar(cells: Mapping[str, Sequence[Any]], rows: Sequence[int]) -> dict[str, Any]:
    volume, vwap = _traded(cells, rows)
    return {
        "open": cells["open"][rows[0]],
        "high": max((cells["high"][row] for row in rows), key=Decimal),
        "low": min((cells["low"][row] for row in rows), key=Decimal),
        "close": cells["close"][rows[-1]],
        "adj_close": cells["adj_close"][rows[-1]],
        "volume": volume,
        "vwap": vwap,
    }


def _reached(columns: Mapping[str, Sequence[Any]], name: str, furthest: Callable[..., Any]) -> list[Any]:
    """Each bar's high or low; where it is null the furthest of its open and close."""
    if None not in columns[name]:
        return list(columns[name])
    rows = zip(columns[name], columns["open"], columns["close"], strict=True)
    return [
        furthest((cell for cell in others if cell is not None), key=Decimal, default=None) if own is None else own
        for own, *others in rows
    ]


def _traded(cells: Mapping[str, Sequence[Any]], rows: Sequence[int]) -> tuple[str | None, str | None]:
    """The total volume and the volume-weighted average price of these rows; see :func:`aggregate_columns`."""
    volumes = [cells["volume"][row] for row in rows]
    if None in volumes:
        return None, None
    total, worth = Decimal(0), Decimal(0)
    for row, volume in zip(rows, map(Decimal, volumes), strict=True):
        total = _EXACT.add(total, volume)
        if volume:
            worth = _EXACT.add(worth, _EXACT.multiply(_three_prices(cells, row), volume))
    average = _FIFTEEN_DIGITS.divide(worth, 3 * total) if total else None
    return format(total, "f"), None if average is None else format(average, "f")


def _three_prices(cells: Mapping[str, Sequence[Any]], row: int) -> Decimal:
    """Three times a bar's ``vwap`` or typical price, so that no division rounds the latter."""
    if cells["vwap"][row] is not None:
        return _EXACT.multiply(Decimal(cells["vwap"][row]), Decimal(3))
    high, low, close = (Decimal(cells[name][row]) for name in ("high", "low", "close"))
    return _EXACT.add(_EXACT.add(high, low), close)


def _lacking(
    missing: Integers, there: Integers, length: BarLength, to: BarLength, sessions: TradingSessions
) -> Integers:
    """For each missing bar the stamp of the longer one that lacks it, ascending; bars that are there are left out."""
    if len(missing) and len(there):
        place = np.minimum(np.searchsorted(there, missing), len(there) - 1)
        missing = missing[there[place] != missing]
    stamps, known = _buckets(missing, length, to, sessions)
    return np.sort(stamps[known])


def _buckets(
    stamps: Integers, length: BarLength, to: BarLength, sessions: TradingSessions
) -> tuple[Integers, NDArray[np.bool_]]:
    """The stamp of the longer bar that each bar belongs to, and whether there is one."""
    if not length.intraday:
        dates, known = stamps - stamps % _DAY, np.ones(len(stamps), np.bool_)
        return _period(dates, to), known
    place = np.searchsorted(sessions.starts, stamps, "right") - 1
    known = place >= 0
    place = np.maximum(place, 0)
    if not len(sessions.starts):
        return stamps, known
    start = sessions.starts[place]
    known &= stamps < sessions.ends[place]
    if to.step:
        return start + (stamps - start) // to.step * to.step, known
    return _period(sessions.dates[place], to), known


def _period(dates: Integers, to: BarLength) -> Integers:
    """The first day of the week or month of these days, or the days themselves; all as midnight UTC."""
    if to is BarLength.W1:
        days = dates // _DAY
        return (days - (days + 3) % 7) * _DAY  # 1970-01-01 was a Thursday
    if to is BarLength.MO1:
        return dates.astype("datetime64[us]").astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
    return dates


def _ends(made: Integers, to: BarLength, sessions: TradingSessions) -> Integers:
    """The ends of longer bars: the close of their last session, or the end of their last day without sessions."""
    if not len(sessions.starts):
        return _next(made, to)
    if to.step:
        place = np.searchsorted(sessions.starts, made, "right") - 1
        return np.minimum(made + to.step, sessions.ends[place])
    following = _next(made, to)
    last = np.searchsorted(sessions.dates, following, "left") - 1
    known = (last >= 0) & (sessions.dates[last] >= made)
    return np.where(known, sessions.ends[last], following)


def _next(made: Integers, to: BarLength) -> Integers:
    """Midnight UTC of the first day after a longer bar, or its end within a day."""
    if to.step:
        return made + to.step
    if to is BarLength.MO1:
        months = made.astype("datetime64[us]").astype("datetime64[M]") + np.timedelta64(1, "M")
        return months.astype("datetime64[us]").astype(np.int64)
    return made + (7 if to is BarLength.W1 else 1) * _DAY
