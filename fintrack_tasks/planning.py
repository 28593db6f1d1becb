"""What a run consists of: instruments, windows and items. Nothing is asked of a provider here.

A plan checks its arguments before anything is written, registers symbols given ad hoc, finds what is missing by the
exchange's calendar, and cuts it into windows that one request can answer.
"""

from __future__ import annotations

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
    Kind,
    Window,
    from_micros,
    to_micros,
    uuid7,
)
from fintrack_tasks.errors import CalendarError, ConfigurationError, UsageError
from fintrack_tasks.fetch import providers, route
from fintrack_tasks.sessions import askable_bars, asked_as
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import coverage, instruments

__all__ = ["DEFAULT_INSTRUMENTS", "JOBS", "Arguments", "Plan", "Refused", "check_arguments", "check_span", "plan"]

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
    "fetch_historical_market_data": {"intervals", "start", "end", "budget"},
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
) -> Arguments:
    """A job's arguments as typed values; touches nothing.

    :raises UsageError: for an unknown job, an empty or wrong symbol list, an unknown interval or class, a date that is
        none, an end that is not after the start, a consensus of fewer than 2 or more providers than there are.
    """
    if job not in JOBS:
        raise UsageError(f"unknown job {job!r}; the jobs are {', '.join(JOBS)}")
    given = {"intervals": intervals, "start": start, "end": end, "consensus": consensus, "budget": budget}
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
        job, chosen, chosen_class, chosen_intervals, first, last, _consensus(consensus), _budget(job, budget)
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


def _span(arguments: Arguments, interval: Interval, settings: Settings, now: datetime) -> Window | None:
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
        return Window(start, end)
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


def plan(
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
    chosen = _instruments(conn, arguments)
    made = list(makers[arguments.job](conn, run, chosen, arguments, settings, now))
    items = tuple(one for one in made if isinstance(one, Item))
    return Plan(run, arguments.job, arguments.recorded(), items, tuple(one for one in made if isinstance(one, Refused)))


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
) -> Iterator[Item | Refused]:
    def missing(number: int, instrument: Instrument, interval: Interval, span: Window) -> Iterator[Window]:
        asked = askable_bars(instrument, interval, span)
        page = route.page_size(route.available(instrument, Kind.BARS, interval, settings))
        return windows(asked, _missing(conn, number, instrument, interval, asked, now), interval, page)

    return _bars(Kind.BARS, missing, run, chosen, arguments, settings, now)


def _indices(
    conn: psycopg.Connection,
    run: UUID,
    chosen: Sequence[tuple[int, Instrument]],
    arguments: Arguments,
    settings: Settings,
    now: datetime,
) -> Iterator[Item | Refused]:
    def wanted(number: int, instrument: Instrument, interval: Interval, span: Window) -> Iterator[Window]:
        asked = askable_bars(instrument, interval, span)
        if interval is Interval.D1:
            return windows(asked, asked, interval, BATCH_LIMIT)
        page = route.page_size(route.available(instrument, Kind.INDEX, interval, settings))
        missing = asked if arguments.start else _open_bars(conn, number, instrument, interval, asked, now)
        return windows(asked, missing, interval, min(page, BATCH_LIMIT))

    # The benchmark first: the others' beta and correlation need its closes.
    ordered = sorted(chosen, key=lambda pair: pair[1].symbol != BENCHMARK)
    return _bars(Kind.INDEX, wanted, run, ordered, arguments, settings, now)


def _bars(
    kind: Kind,
    windows_of: Callable[[int, Instrument, Interval, Window], Iterator[Window]],
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
                yield item if refusal is None else Refused(item, refusal.reason, str(refusal))


def _missing(
    conn: psycopg.Connection,
    number: int,
    instrument: Instrument,
    interval: Interval,
    asked: Sequence[int],
    now: datetime,
) -> list[int]:
    return coverage.missing(conn, number, interval, asked, now, partial(asked_as, instrument, interval))


def _open_bars(
    conn: psycopg.Connection,
    number: int,
    instrument: Instrument,
    interval: Interval,
    asked: Sequence[int],
    now: datetime,
) -> list[int]:
    """The bars that are missing, and the newest of all."""
    wanted = {*_missing(conn, number, instrument, interval, asked, now), *asked[-_NEWEST:]}
    return [stamp for stamp in asked if stamp in wanted]


def windows(expected: Sequence[int], missing: Sequence[int], interval: Interval, page: int) -> Iterator[Window]:
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
        yield Window(from_micros(missing[begin]), from_micros(missing[last]) + interval.delta)
        begin = last + 1


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
