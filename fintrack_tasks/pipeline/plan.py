"""The plan of a run: which instruments, windows and items it consists of, and how it is written to the ledger.

Nothing is asked of a provider here. Symbols given ad hoc are registered as known; bars are planned by what is missing
by the exchange's calendar, in windows that one request can answer. The arguments were checked before, in
:mod:`fintrack_tasks.pipeline.run_arguments`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import psycopg

from fintrack_tasks.domain import (
    BATCH_LIMIT,
    BENCHMARK,
    AssetClass,
    Instrument,
    Interval,
    Item,
    ItemState,
    Kind,
    TimeRange,
    uuid7,
)
from fintrack_tasks.errors import CalendarError
from fintrack_tasks.fetch import route
from fintrack_tasks.pipeline.missing_bars import BarSeries, UnkeptBars
from fintrack_tasks.pipeline.run_arguments import Arguments
from fintrack_tasks.pipeline.span import requested_span
from fintrack_tasks.pipeline.windows import windows
from fintrack_tasks.sessions import requestable_bars
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import instruments, run_items, runs

__all__ = ["DEFAULT_INSTRUMENTS", "Plan", "Refused", "plan_run", "record_run"]

DEFAULT_INSTRUMENTS: Final = (
    "AAPL", "GOOG", "IBM", "MSFT",
    "BTC-USD", "ETH-USD",
    "EURUSD=X", "GBPUSD=X",
    "^GSPC", "^DJI", "^IXIC", "^VIX",
)  # fmt: skip
"""Registered on a new database, so that the schedule has something to do."""

_NEWEST: Final = 8
"""Intraday bars of an index that are asked for at every tick, final or not: about a session, so that the benchmark's
close of the same hour, which may have come later, reaches their beta and correlation."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An item that cannot be asked for, and why: it stands in the ledger as failed, beside the others."""

    item: Item
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A run before it is written to the ledger."""

    run_id: UUID
    job: str
    arguments: dict[str, Any]
    items: tuple[Item, ...]
    refused: tuple[Refused, ...] = ()
    note: str | None = None
    """What was asked for and is planned for nobody, since nobody keeps it."""


def plan_run(
    conn: psycopg.Connection, arguments: Arguments, settings: Settings, now: datetime, run_id: UUID | None = None
) -> Plan:
    """The items of one run. Symbols that nobody registered become known, inactive instruments.

    :raises UsageError: when the span that the arguments and the settings leave is empty.
    """
    planner = _Planner(conn, run_id or uuid7(now.timestamp()), arguments, settings, now)
    made = list(planner.items(_instruments(conn, arguments)))
    items = tuple(one for one in made if isinstance(one, Item))
    refused = tuple(one for one in made if isinstance(one, Refused))
    return Plan(planner.run, arguments.job, arguments.recorded(), items, refused, planner.unkept.note())


def _instruments(conn: psycopg.Connection, arguments: Arguments) -> list[tuple[int, Instrument]]:
    if arguments.symbols is not None:
        known = instruments.ensure(conn, arguments.symbols)
        return [known[i.symbol] for i in arguments.symbols]
    classes = (AssetClass.INDEX,) if arguments.job == "fetch_market_index_data" else None
    if arguments.asset_class:
        classes = (arguments.asset_class,)
    return instruments.active(conn, classes)


@dataclass(frozen=True, slots=True)
class _Planner:
    """Makes the items of one run."""

    conn: psycopg.Connection
    run: UUID
    arguments: Arguments
    settings: Settings
    now: datetime
    unkept: UnkeptBars = field(default_factory=UnkeptBars)

    def items(self, chosen: Sequence[tuple[int, Instrument]]) -> Iterator[Item | Refused]:
        """The items of these instruments (id and instrument), by the job."""
        if self.arguments.job == "fetch_market_data":
            return self._quotes(chosen)
        if self.arguments.job == "fetch_historical_market_data":
            return self._bars(Kind.BARS, self._missing_windows, chosen)
        # The benchmark first: the others' beta and correlation need its closes.
        ordered = sorted(chosen, key=lambda pair: pair[1].symbol != BENCHMARK)
        return self._bars(Kind.INDEX, self._index_windows, ordered)

    def _quotes(self, chosen: Sequence[tuple[int, Instrument]]) -> Iterator[Item]:
        for instrument_id, instrument in chosen:
            yield Item(
                self._new_id(),
                self.run,
                Kind.QUOTE,
                instrument,
                instrument_id,
                budget=self.arguments.budget,
                consensus=self.arguments.consensus,
            )

    def _bars(
        self,
        kind: Kind,
        windows_of: Callable[[BarSeries, TimeRange], Iterator[TimeRange]],
        chosen: Sequence[tuple[int, Instrument]],
    ) -> Iterator[Item | Refused]:
        """An item for each window of each instrument. One with an unusable calendar is refused; the others go on."""
        for interval in self.arguments.intervals:
            span = requested_span(self.arguments, interval, self.settings, self.now)
            if span is None:
                continue
            for instrument_id, instrument in chosen:
                series = BarSeries(
                    self.conn, instrument_id, instrument, kind, interval, self.settings, self.now, self.unkept
                )
                yield from self._items_of(series, windows_of, span)

    def _items_of(
        self, series: BarSeries, windows_of: Callable[[BarSeries, TimeRange], Iterator[TimeRange]], span: TimeRange
    ) -> Iterator[Item | Refused]:
        try:
            found = list(windows_of(series, span))
        except CalendarError as error:
            yield Refused(self._item(series, span), error.reason, _with_remedy(series.instrument, error))
        else:
            for window in found:
                yield self._item(series, window)

    def _item(self, series: BarSeries, window: TimeRange) -> Item:
        return Item(
            self._new_id(),
            self.run,
            series.kind,
            series.instrument,
            series.instrument_id,
            series.interval,
            window,
            budget=self.arguments.budget,
        )

    def _new_id(self) -> UUID:
        return uuid7(self.now.timestamp())

    def _missing_windows(self, series: BarSeries, span: TimeRange) -> Iterator[TimeRange]:
        """The windows of history: of all bars of the span, where they are to be fetched again, or of the missing."""
        asked = requestable_bars(series.instrument, series.interval, span)
        return series.windows(asked, asked if self.arguments.refetch else series.missing(asked))

    def _index_windows(self, series: BarSeries, span: TimeRange) -> Iterator[TimeRange]:
        """The windows of an index: its whole daily span, and of intraday bars the missing and the newest."""
        asked = requestable_bars(series.instrument, series.interval, span)
        if series.interval is Interval.D1:
            return windows(asked, asked, series.interval, BATCH_LIMIT)
        wanted = asked if self.arguments.start else sorted({*series.missing(asked), *asked[-_NEWEST:]})
        return series.windows(asked, wanted)


def _with_remedy(instrument: Instrument, refusal: CalendarError) -> str:
    return f"{refusal}; mend it with: fintrack instruments edit {instrument.symbol} --calendar NAME"


def record_run(conn: psycopg.Connection, plan: Plan, settings: Settings, now: datetime) -> None:
    """Write a run and its items to the ledger; only then may they be enqueued. Refused ones end here."""
    deadline = now.timestamp() + settings.fintrack_item_deadline_seconds + route.drain_seconds(plan.items, settings)
    with conn.transaction():
        runs.create_run(
            conn,
            plan.run_id,
            plan.job,
            plan.arguments,
            [*plan.items, *(refused.item for refused in plan.refused)],
            datetime.fromtimestamp(deadline, tz=now.tzinfo),
            now,
            plan.note,
        )
        for refused in plan.refused:
            run_items.finish(conn, refused.item, ItemState.FAILED, refused.reason, refused.detail, None, now)
