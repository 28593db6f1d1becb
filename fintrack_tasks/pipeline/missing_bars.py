"""The missing bars of one instrument and interval, as the windows that a run asks for.

What no provider of the route keeps is recorded as unavailable and noted for the run; how windows are cut is in
:mod:`fintrack_tasks.pipeline.windows`, how far back providers keep bars in :mod:`fintrack_tasks.pipeline.availability`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Final

import psycopg

from fintrack_tasks.domain import BATCH_LIMIT, Instrument, Interval, Kind, TimeRange, from_micros
from fintrack_tasks.fetch import route
from fintrack_tasks.pipeline.availability import reach
from fintrack_tasks.pipeline.windows import newest_sessions, windows, with_newest
from fintrack_tasks.sessions import requested_stamps
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import coverage

__all__ = ["BarSeries", "UnkeptBars"]

_NAMED: Final = 3
"""Symbols that a note names; the others are counted."""


class UnkeptBars:
    """The bars that a run wants and no provider of the route keeps, collected for the run's note."""

    def __init__(self) -> None:
        self._symbols: dict[tuple[Interval, date, tuple[str, ...]], list[str]] = {}

    def add(self, symbol: str, interval: Interval, first: int, names: tuple[str, ...]) -> None:
        self._symbols.setdefault((interval, from_micros(first).date(), names), []).append(symbol)

    def note(self) -> str | None:
        parts = []
        for (interval, first, names), symbols in self._symbols.items():
            rest = f" and {len(symbols) - _NAMED} more" if len(symbols) > _NAMED else ""
            who = f"{', '.join(symbols[:_NAMED])}{rest}"
            parts.append(f"{interval.value} bars of {who} before {first} are not kept by {', '.join(names)}")
        return "; ".join(parts) or None


@dataclass(frozen=True, slots=True)
class BarSeries:
    """The bars of one instrument and interval. Stamps are opening times, microseconds, ascending."""

    conn: psycopg.Connection
    instrument_id: int
    instrument: Instrument
    kind: Kind
    interval: Interval
    settings: Settings
    now: datetime
    unkept: UnkeptBars

    @property
    def names(self) -> tuple[str, ...]:
        """The providers that can be asked."""
        return route.available(self.instrument, self.kind, self.interval, self.settings)

    @property
    def page(self) -> int:
        return min(route.page_size(self.names), BATCH_LIMIT)

    def missing(self, asked: Sequence[int]) -> list[int]:
        """The stamps that are neither final in the table, nor confirmed absent, nor kept by no provider."""
        return self._missing(asked, self.names)

    def _kept(self, asked: Sequence[int], wanted: Sequence[int]) -> list[Sequence[int]]:
        """The wanted bars that somebody keeps, cut where a provider's reach ends; what nobody keeps is noted."""
        reached = reach(self.names, self.interval, self.settings, self.now)
        if reached.first is not None and asked and asked[0] < reached.first:
            lost = self._missing(asked[: bisect_left(asked, reached.first)], None)
            if lost:
                window = TimeRange(from_micros(lost[0]), from_micros(lost[-1]) + self.interval.delta)
                coverage.record_unavailable(self.conn, self.instrument_id, self.interval, window, self.names, self.now)
                self.unkept.add(self.instrument.symbol, self.interval, reached.first, self.names)
        return reached.parts(wanted)

    def windows(self, asked: Sequence[int], wanted: Sequence[int]) -> Iterator[TimeRange]:
        """The windows of the wanted bars that somebody keeps, and of the newest sessions beside them."""
        parts, sessions = self._kept(asked, wanted), self.settings.fintrack_refetch_sessions
        if parts:
            newest = newest_sessions(self.instrument, self.interval, asked, parts[-1], sessions, self.now)
            parts[-1] = with_newest(asked, parts[-1], newest, self.interval, self.page)
        for part in parts:
            yield from windows(asked, part, self.interval, self.page)

    def _missing(self, asked: Sequence[int], names: Sequence[str] | None) -> list[int]:
        stands_for = partial(requested_stamps, self.instrument, self.interval)
        return coverage.missing(self.conn, self.instrument_id, self.interval, asked, self.now, stands_for, names)
