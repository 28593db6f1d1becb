"""The arguments of a run, checked and typed before anything is planned: job, symbols, intervals, dates, budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

from fintrack_tasks.domain import AssetClass, Budget, Instrument, Interval, to_micros
from fintrack_tasks.errors import UsageError
from fintrack_tasks.fetch import providers

__all__ = ["JOBS", "Arguments", "check_arguments", "parse_time", "takes_span"]

JOBS: Final = ("fetch_market_data", "fetch_historical_market_data", "fetch_market_index_data")

_TAKES: Final = {
    "fetch_market_data": {"consensus"},
    "fetch_historical_market_data": {"intervals", "start", "end", "budget", "refetch"},
    "fetch_market_index_data": {"intervals", "start", "end"},
}
"""What a job takes besides symbols and an asset class."""


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
        """As JSON for the ledger, without what was not given."""
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


def takes_span(job: str) -> bool:
    """Whether a job asks for bars of a span of time."""
    return "start" in _TAKES[job]


def check_arguments(
    job: str,
    symbols: Sequence[str] | None = None,
    *,
    now: datetime,
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
        none, a start in the future, an end that is not after the start, a consensus of fewer than 2 or more providers
        than there are.
    """
    given = {"intervals": intervals, "start": start, "end": end, "consensus": consensus, "budget": budget}
    _check_names(job, {**given, "refetch": refetch or None})
    _check_lists(symbols, intervals)
    try:
        chosen_class = _one_of(AssetClass, "asset class", asset_class) if asset_class else None
        chosen_intervals = tuple(dict.fromkeys(_one_of(Interval, "interval", i) for i in intervals or (Interval.D1,)))
        chosen = None
        if symbols is not None:
            chosen = tuple({i.symbol: i for i in (Instrument.of(_text(s), chosen_class) for s in symbols)}.values())
        first, last = parse_time("start", start), parse_time("end", end)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if first and last and last <= first:
        raise UsageError(f"the end ({end}) must be after the start ({start})")
    if first and first > now:
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


def _check_names(job: str, given: dict[str, Any]) -> None:
    if job not in JOBS:
        raise UsageError(f"unknown job {job!r}; the jobs are {', '.join(JOBS)}")
    if foreign := [name for name, value in given.items() if value is not None and name not in _TAKES[job]]:
        raise UsageError(f"{job} does not take {' and '.join(foreign)}")


def _check_lists(symbols: object, intervals: Sequence[str] | None) -> None:
    if isinstance(symbols, str | bytes) or (symbols is not None and not isinstance(symbols, list | tuple)):
        raise UsageError("symbols must be a list such as ['AAPL', 'BTC-USD']")
    if symbols is not None and not symbols:
        raise UsageError("the list of symbols is empty; leave it out for all registered instruments")
    if intervals is not None and not intervals:
        raise UsageError("the list of intervals is empty; the intervals are 1d, 1h, 15m")


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
    """Gap repair by default for history, real time for quotes and indices."""
    if wanted is None:
        return Budget.GAP_REPAIR if job == "fetch_historical_market_data" else Budget.REAL_TIME
    try:
        return Budget[wanted.upper()]
    except (KeyError, AttributeError):
        known = ", ".join(each.name.lower() for each in Budget)
        raise UsageError(f"no budget {wanted!r:.40}; the budgets are {known}") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"not a symbol: {value!r:.60}")  # noqa: TRY004  the caller maps ValueError to a usage error
    return value


def parse_time(name: str, text: object) -> datetime | None:
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
