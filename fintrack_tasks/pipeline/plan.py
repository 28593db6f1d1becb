"""What a run consists of: instruments, windows and items. Nothing is asked of a provider here.

A plan checks its arguments before anything is written, registers symbols given ad hoc, finds what is missing by the
exchange's calendar, and cuts it into windows that one request can answer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

import psycopg

from fintrack_tasks.domain import (
    BATCH_LIMIT,
    BENCHMARK,
    AssetClass,
    Budget,
    Instrument,
    Interval,
    Item,
    ItemState,
    Kind,
    TimeRange,
    from_micros,
    to_micros,
    uuid7,
)
from fintrack_tasks.errors import CalendarError, ConfigurationError, UsageError
from fintrack_tasks.fetch import providers, route
from fintrack_tasks.pipeline.availability import reach
from fintrack_tasks.pipeline.windows import newest_sessions, windows, with_newest
from fintrack_tasks.sessions import askable_bars, asked_as
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import coverage, instruments, ledger

__all__ = ["DEFAULT_INSTRUMENTS", "JOBS", "Arguments", "Plan", "Refused", "check_arguments", "check_span", "plan_run"]

JOBS: Final = ("fetch_market_data", "fetch_historical_market_data", "fetch_market_index_data")

DEFAULT_INSTRUMENTS: Final = (
    "AAPL", "GOOG", "IBM", "MSFT",
    "BTC-USD", "ETH-USD",
    "EURUSD=X", "GBPUSD=X",
    "^GSPC", "^DJI", "^IXIC", "^VIX",
)  # fmt: skip
"""Registered on a new database, so that the schedule has something to do."""

_TAKES: Final = {
    "fetch_market_data": {"consensus"},
    "fetch_historical_market_data": {"intervals", "start", "end", "budget", "refetch"},
    "fetch_market_index_data": {"intervals", "start", "end"},
}
"""What a job takes besides symbols and an asset class."""

_LOOKBACK: Final = {Interval.D1: None, Interval.H1: timedelta(days=720), Interval.M15: timedelta(days=58)}
"""How far back intraday bars are asked for when no start is given: providers keep 730 and 60 days of them."""

_INDEX_LOOKBACK: Final = timedelta(days=750)
"""Daily bars of an index: about 515 sessions, enough for every indicator's warm-up and below one batch."""

_NEWEST: Final = 8
"""Intraday bars of an index that are asked for at every tick, final or not: about a session, so that the benchmark's
close of the same hour, which may have come later, reaches their beta and correlation."""


_NAMED: Final = 3
"""Symbols that a note names; the others are counted."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """A job's arguments, checked. ``symbols`` is ``None`` for all registered instruments."""

    job: str
    symbols: tuple[Instrument, ...] | None = None
    asset_class: AssetClass | None = None
    intervals: tuple[Interval, ...] = (Interval.D1,)
    start: datetime | None = None
    end: datetime | None = None
    consensus: int = 1
    budget: Budget = Budget.REAL_TIME
    refetch: bool = False
    """Ask for every bar of the span, whatever is there."""

    def recorded(self) -> dict[str, Any]:
        """As the ledger keeps them: JSON, what was not given left out."""
        values: dict[str, Any] = {
            "symbols": [i.symbol for i in self.symbols] if self.symbols is not None else None,
            "asset_class": self.asset_class,
            "intervals": list(self.intervals) if "intervals" in _TAKES[self.job] else None,
            "start": self.start.isoformat() if self.start else None,
            "end": self.end.isoformat() if self.end else None,
            "consensus": self.consensus if self.consensus > 1 else None,
            "budget": self.budget.name.lower() if self.budget else None,
            "refetch": self.refetch or None,
        }
        return {name: value for name, value in values.items() if value is not None}


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


def check_arguments(
    job: str,
    symbols: Sequence[str] | None = None,
    *,
    asset_class: str | None = None,
    intervals: Sequence[str] | None = None,
    start: str | None = None,
    end: str | None = None,
    consensus: int | None = None,
    budget: str | None = None,
    refetch: bool | None = None,
) -> Arguments:
    """A job's arguments as typed values; touches nothing.

    :raises UsageError: for an unknown job, an empty or wrong symbol list, an unknown interval or class, a date that is
        none, an end that is not after the start, a consensus of fewer than 2 or more providers than there are.
    """
    if job not in JOBS:
        raise UsageError(f"unknown job {job!r}; the jobs are {', '.join(JOBS)}")
    given = {"intervals": intervals, "start": start, "end": end, "consensus": consensus, "budget": budget}
    given["refetch"] = refetch or None
    if foreign := [name for name, value in given.items() if value is not None and name not in _TAKES[job]]:
        raise UsageError(f"{job} does not take {' and '.join(foreign)}")
    if isinstance(symbols, str | bytes) or (symbols is not None and not isinstance(symbols, list | tuple)):
        raise UsageError("symbols must be a list such as ['AAPL', 'BTC-USD']")
    if symbols is not None and not symbols:
        raise UsageError("the list of symbols is empty; leave it out for all registered instruments")
    if intervals is not None and not intervals:
        raise UsageError("the list of intervals is empty; the intervals are 1d, 1h, 15m")
    try:
        chosen_class = _one_of(AssetClass, "asset class", asset_class) if asset_class else None
        chosen_intervals = tuple(dict.fromkeys(_one_of(Interval, "interval", i) for i in intervals or (Interval.D1,)))
        chosen = None
        if symbols is not None:
            chosen = tuple({i.symbol: i for i in (Instrument.of(_text(s), chosen_class) for s in symbols)}.values())
        first, last = _moment("start", start), _moment("end", end)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if first and last and last <= first:
        raise UsageError(f"the end ({end}) must be after the start ({start})")
    if first and first > datetime.now(tz=UTC):
        raise UsageError(f"the start ({start}) lies in the future")
    return Arguments(
        job,
        chosen,
        chosen_class,
        chosen_intervals,
        first,
        last,
        _consensus(consensus),
        _budget(job, budget),
        bool(refetch),
    )


E = TypeVar("E", bound=StrEnum)


def _one_of(kind: type[E], what: str, text: str) -> E:
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"no {what} {text!r:.40}; there are {', '.join(each.value for each in kind)}") from None


def _consensus(wanted: int | None) -> int:
    if wanted is None:
        return 1
    most = len(providers.names())
    if isinstance(wanted, bool) or not isinstance(wanted, int) or not 2 <= wanted <= most:
        raise UsageError(f"a consensus takes 2 to {most} providers, not {wanted!r:.20}")
    return wanted


def _budget(job: str, wanted: str | None) -> Budget:
    """History is the repair of gaps unless it is said to be a deep backfill; quotes and indices are of now."""
    if wanted is None:
        return Budget.GAP_REPAIR if job == "fetch_historical_market_data" else Budget.REAL_TIME
    try:
        return Budget[wanted.upper()]
    except (KeyError, AttributeError):
        known = ", ".join(each.name.lower() for each in Budget)
        raise UsageError(f"no budget {wanted!r:.40}; the budgets are {known}") from None


def check_span(arguments: Arguments, settings: Settings, now: datetime) -> None:
    """Refuse a span of history in which nothing lies, before anything is enqueued; touches nothing.

    :raises UsageError: says which start and which end leave nothing.
    """
    if "start" in _TAKES[arguments.job]:
        for interval in arguments.intervals:
            _span(arguments, interval, settings, now)


def _span(arguments: Arguments, interval: Interval, settings: Settings, now: datetime) -> TimeRange | None:
    """The span that a job asks for; ``None`` where nothing was asked for and the settings leave nothing."""
    end = min(arguments.end or _history_end(settings, now), now)
    if arguments.start:
        start = arguments.start
    elif arguments.job == "fetch_market_index_data":
        lookback = _LOOKBACK[interval]
        start = _midnight(end - lookback) if lookback else end - _INDEX_LOOKBACK
    else:
        start = _default_start(settings, interval, now)
    if start < end:
        return TimeRange(start, end)
    if not (arguments.start or arguments.end):
        return None
    first = _edge(start, arguments.start, "FINTRACK_HISTORY_START")
    last = _edge(end, arguments.end or (end if end == now else None), "FINTRACK_HISTORY_END")
    raise UsageError(
        f"nothing lies between {first} and {last}: the start is not before the end; give another start or end"
    )


def _edge(moment: datetime, given: datetime | None, variable: str) -> str:
    """An end of a span in words, with the setting that it is from where nobody gave it."""
    return str(moment.date()) if given else f"{moment.date()} (from {variable})"


def plan_run(
    conn: psycopg.Connection, arguments: Arguments, settings: Settings, now: datetime, run_id: UUID | None = None
) -> Plan:
    """The items of one run. Symbols that nobody registered are registered, inactive, by the way.

    :raises UsageError: when the span that the arguments and the settings leave is empty.
    """
    run = run_id or uuid7(now.timestamp())
    makers: dict[str, Callable[..., Iterator[Item | Refused]]] = {
        "fetch_market_data": _quotes,
        "fetch_historical_market_data": _history,
        "fetch_market_index_data": _indices,
    }
    chosen, gone = _instruments(conn, arguments), _Gone()
    made = list(makers[arguments.job](conn, run, chosen, arguments, settings, now, gone))
    items = tuple(one for one in made if isinstance(one, Item))
    refused = tuple(one for one in made if isinstance(one, Refused))
    return Plan(run, arguments.job, arguments.recorded(), items, refused, gone.note())


class _Gone:
    """What nobody keeps, for the run's note: by interval, first day that is kept, and providers the symbols."""

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


def _instruments(conn: psycopg.Connection, arguments: Arguments) -> list[tuple[int, Instrument]]:
    if arguments.symbols is not None:
        known = instruments.ensure(conn, arguments.symbols)
        return [known[i.symbol] for i in arguments.symbols]
    classes = (AssetClass.INDEX,) if arguments.job == "fetch_market_index_data" else None
    if arguments.asset_class:
        classes = (arguments.asset_class,)
    return instruments.active(conn, classes)


def _quotes(
    _conn: psycopg.Connection,
    run: UUID,
    chosen: Sequence[tuple[int, Instrument]],
    arguments: Arguments,
    _settings: Settings,
    now: datetime,
    _gone: _Gone,
) -> Iterator[Item]:
    for number, instrument in chosen:
        item = uuid7(now.timestamp())
        yield Item(item, run, Kind.QUOTE, instrument, number, budget=arguments.budget, consensus=arguments.consensus)


def _history(
    conn: psycopg.Connection,
    run: UUID,
    chosen: Sequence[tuple[int, Instrument]],
    arguments: Arguments,
    settings: Settings,
    now: datetime,
    gone: _Gone,
) -> Iterator[Item | Refused]:
    def wanted(number: int, instrument: Instrument, interval: Interval, span: TimeRange) -> Iterator[TimeRange]:
        series = _Series(conn, number, instrument, Kind.BARS, interval, settings, now, gone)
        asked = askable_bars(instrument, interval, span)
        return series.windows(asked, asked if arguments.refetch else series.missing(asked))

    return _bars(Kind.BARS, wanted, run, chosen, arguments, settings, now)


def _indices(
    conn: psycopg.Connection,
    run: UUID,
    chosen: Sequence[tuple[int, Instrument]],
    arguments: Arguments,
    settings: Settings,
    now: datetime,
    gone: _Gone,
) -> Iterator[Item | Refused]:
    def wanted(number: int, instrument: Instrument, interval: Interval, span: TimeRange) -> Iterator[TimeRange]:
        asked = askable_bars(instrument, interval, span)
        if interval is Interval.D1:
            return windows(asked, asked, interval, BATCH_LIMIT)
        series = _Series(conn, number, instrument, Kind.INDEX, interval, settings, now, gone)
        # What is missing, and the newest of all.
        chosen_bars = asked if arguments.start else sorted({*series.missing(asked), *asked[-_NEWEST:]})
        return series.windows(asked, chosen_bars)

    # The benchmark first: the others' beta and correlation need its closes.
    ordered = sorted(chosen, key=lambda pair: pair[1].symbol != BENCHMARK)
    return _bars(Kind.INDEX, wanted, run, ordered, arguments, settings, now)


def _mended(instrument: Instrument, refusal: CalendarError) -> str:
    return f"{refusal}; mend it with: fintrack instruments edit {instrument.symbol} --calendar NAME"


def _bars(
    kind: Kind,
    windows_of: Callable[[int, Instrument, Interval, TimeRange], Iterator[TimeRange]],
    run: UUID,
    chosen: Sequence[tuple[int, Instrument]],
    arguments: Arguments,
    settings: Settings,
    now: datetime,
) -> Iterator[Item | Refused]:
    """An item for each window of each instrument. One whose calendar is none is refused, and the others go on."""
    for interval in arguments.intervals:
        span = _span(arguments, interval, settings, now)
        if span is None:
            continue
        for number, instrument in chosen:
            found = [span]
            refusal: CalendarError | None = None
            try:
                found = list(windows_of(number, instrument, interval, span))
            except CalendarError as error:
                refusal = error
            for window in found:
                name = uuid7(now.timestamp())
                item = Item(name, run, kind, instrument, number, interval, window, budget=arguments.budget)
                yield item if refusal is None else Refused(item, refusal.reason, _mended(instrument, refusal))


@dataclass(frozen=True, slots=True)
class _Series:
    """The bars of an instrument: which of them are missing, which of these are kept by whom."""

    conn: psycopg.Connection
    number: int
    instrument: Instrument
    kind: Kind
    interval: Interval
    settings: Settings
    now: datetime
    gone: _Gone

    @property
    def names(self) -> tuple[str, ...]:
        """The providers that can be asked."""
        return route.available(self.instrument, self.kind, self.interval, self.settings)

    @property
    def page(self) -> int:
        return min(route.page_size(self.names), BATCH_LIMIT)

    def missing(self, asked: Sequence[int]) -> list[int]:
        """What is neither there, nor known not to be, nor kept by nobody."""
        return self._missing(asked, self.names)

    def _kept(self, asked: Sequence[int], wanted: Sequence[int]) -> list[Sequence[int]]:
        """The wanted bars that somebody keeps, cut where a provider's reach ends; what nobody keeps is noted."""
        reached = reach(self.names, self.interval, self.settings, self.now)
        if reached.first is not None and asked and asked[0] < reached.first:
            lost = self._missing(asked[: bisect_left(asked, reached.first)], None)
            if lost:
                window = TimeRange(from_micros(lost[0]), from_micros(lost[-1]) + self.interval.delta)
                coverage.record_unavailable(self.conn, self.number, self.interval, window, self.names, self.now)
                self.gone.add(self.instrument.symbol, self.interval, reached.first, self.names)
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
        stands_for = partial(asked_as, self.instrument, self.interval)
        return coverage.missing(self.conn, self.number, self.interval, asked, self.now, stands_for, names)


def _default_start(settings: Settings, interval: Interval, now: datetime) -> datetime:
    start = _setting("FINTRACK_HISTORY_START", settings.fintrack_history_start)
    if start is None:
        raise ConfigurationError("FINTRACK_HISTORY_START is empty; set it to a date such as 2020-01-01")
    lookback = _LOOKBACK[interval]
    return max(start, _midnight(now - lookback)) if lookback else start


def _history_end(settings: Settings, now: datetime) -> datetime:
    return _setting("FINTRACK_HISTORY_END", settings.fintrack_history_end) or now


def _setting(variable: str, text: str) -> datetime | None:
    try:
        return _moment(variable, text)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"not a symbol: {value!r:.60}")  # noqa: TRY004  the caller maps ValueError to a usage error
    return value


def _moment(name: str, text: object) -> datetime | None:
    """An ISO date (midnight UTC) or an ISO time with a zone; ``None`` for nothing."""
    if text is None or text == "":
        return None
    if isinstance(text, datetime):
        moment = text
    elif isinstance(text, date):
        moment = datetime(text.year, text.month, text.day, tzinfo=UTC)
    else:
        try:
            moment = datetime.fromisoformat(str(text))
        except ValueError:
            raise ValueError(f"{name} is no date: {text!r:.40}; write it as 2024-01-31") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    moment = moment.astimezone(UTC)
    if to_micros(moment) < to_micros(datetime(1900, 1, 1, tzinfo=UTC)):
        raise ValueError(f"{name} lies before 1900: {text!r:.40}")
    return moment


def record_run(conn: psycopg.Connection, plan: Plan, settings: Settings, now: datetime) -> None:
    """Write a run and its items to the ledger; only then may they be enqueued. Refused ones end here."""
    deadline = now.timestamp() + settings.fintrack_item_deadline_seconds + route.drain_seconds(plan.items, settings)
    with conn.transaction():
        ledger.create_run(
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
            ledger.finish(conn, refused.item, ItemState.FAILED, refused.reason, refused.detail, None, now)
