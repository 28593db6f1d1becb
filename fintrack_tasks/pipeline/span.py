"""The span of time that a run asks bars for: from the arguments, the settings, or how far back providers keep them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from fintrack_tasks.domain import Interval, TimeRange
from fintrack_tasks.errors import ConfigurationError, UsageError
from fintrack_tasks.pipeline.run_arguments import Arguments, parse_time, takes_span
from fintrack_tasks.settings import Settings

__all__ = ["check_span", "requested_span"]

_HISTORY_DEPTH: Final = {Interval.D1: None, Interval.H1: timedelta(days=720), Interval.M15: timedelta(days=58)}
"""How far back intraday bars are asked for when no start is given: providers keep 730 and 60 days of them."""

_INDEX_DEPTH: Final = timedelta(days=750)
"""Daily bars of an index: about 515 sessions, enough for every indicator's warm-up and below one batch."""


def check_span(arguments: Arguments, settings: Settings, now: datetime) -> None:
    """Refuse an empty span of history before anything is enqueued; touches nothing.

    :raises UsageError: says which start and which end leave nothing.
    """
    if takes_span(arguments.job):
        for interval in arguments.intervals:
            requested_span(arguments, interval, settings, now)


def requested_span(arguments: Arguments, interval: Interval, settings: Settings, now: datetime) -> TimeRange | None:
    """The span that a job asks for; ``None`` where nothing was asked for and the settings leave nothing."""
    end = min(arguments.end or _history_end(settings, now), now)
    if arguments.start:
        start = arguments.start
    elif arguments.job == "fetch_market_index_data":
        depth = _HISTORY_DEPTH[interval]
        start = _midnight(end - depth) if depth else end - _INDEX_DEPTH
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
    """One end of a span for an error text, with the setting that it came from."""
    return str(moment.date()) if given else f"{moment.date()} (from {variable})"


def _default_start(settings: Settings, interval: Interval, now: datetime) -> datetime:
    start = _setting("FINTRACK_HISTORY_START", settings.fintrack_history_start)
    if start is None:
        raise ConfigurationError("FINTRACK_HISTORY_START is empty; set it to a date such as 2020-01-01")
    depth = _HISTORY_DEPTH[interval]
    return max(start, _midnight(now - depth)) if depth else start


def _history_end(settings: Settings, now: datetime) -> datetime:
    return _setting("FINTRACK_HISTORY_END", settings.fintrack_history_end) or now


def _setting(variable: str, text: str) -> datetime | None:
    try:
        return parse_time(variable, text)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
