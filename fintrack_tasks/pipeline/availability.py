"""How far back the providers of a route keep bars, and what happens to the part of a range that none of them keeps.

Providers keep intraday bars for some weeks or years only and refuse a whole request that begins earlier. The part that
one keeps is asked of it; the rest is asked of the next provider, or recorded in the coverage as unavailable from these
providers, which is no proof of absence, and not asked for again until another provider can be asked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

import psycopg

from fintrack_tasks.domain import Batch, Interval, Item, TimeRange, from_micros, to_micros
from fintrack_tasks.errors import UnavailableRangeError
from fintrack_tasks.fetch import route
from fintrack_tasks.fetch.providers.base import KEPT_FROM
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import coverage

__all__ = ["Reach", "kept_part", "marked", "reach", "record_rest", "refusers", "window_asked"]

_FROM: Final = "asked_from"
"""The name in a batch's ``meta`` of the time, microseconds, from which on its provider was asked."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back the providers of a route keep bars, microseconds.

    :param first: no provider keeps bars before it; ``None`` where one keeps all.
    :param edges: where windows must be cut, so that a provider that keeps a window's start keeps all of it; ascending.
    """

    first: int | None
    edges: tuple[int, ...]

    def parts(self, stamps: Sequence[int]) -> list[Sequence[int]]:
        """The stamps that some provider keeps, cut at the edges; ascending."""
        cuts = [0, *(bisect_left(stamps, edge) for edge in self.edges), len(stamps)]
        parts = [stamps[begin:end] for begin, end in pairwise(cuts)]
        return [part for part in (parts if self.first is None else parts[1:]) if part]


def reach(names: Sequence[str], interval: Interval, settings: Settings, now: datetime) -> Reach:
    """The reach of these providers for an interval, as they declare it."""
    limits = [route.kept_from(name, interval, settings, now) for name in names]
    edges = tuple(sorted({to_micros(limit) for limit in limits if limit}))
    return Reach(edges[0] if edges and None not in limits else None, edges)


def kept_part(
    item: Item, provider: str, attempts: Sequence[Mapping[str, Any]], settings: Settings, at: datetime
) -> Item:
    """The item with the part of its window that a provider keeps, by what it declares and what it has answered.

    :param at: when the provider is asked, or was.
    :raises UnavailableRangeError: when it keeps nothing of it.
    """
    if item.window is None:
        return item
    told = [datetime.fromisoformat(each["earliest"]) for each in attempts if _of(each, provider)]
    declared = route.kept_from(provider, item.interval, settings, at)
    start = max([item.window.start, *told, *([declared] if declared else [])])
    if start >= item.window.end:
        days = f"{provider} keeps bars of {item.interval} from {start:%Y-%m-%d} on"
        raise UnavailableRangeError(days, earliest=start, asked=False)
    return replace(item, window=TimeRange(start, item.window.end))


def _of(attempt: Mapping[str, Any], provider: str) -> bool:
    return attempt["provider"] == provider and bool(attempt.get("earliest"))


def refusers(attempts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The providers that said that they do not keep an item's range."""
    return sorted({each["provider"] for each in attempts if each["reason"] == UnavailableRangeError.reason})


def marked(batch: Batch, asked: Item, item: Item) -> Batch:
    """The batch, with the start of what was asked for in its meta where that is not the start of the item's window."""
    if asked.window is None or asked.window == item.window:
        return batch
    return replace(batch, meta={**batch.meta, _FROM: to_micros(asked.window.start)})


def window_asked(item: Item, batch: Batch) -> TimeRange | None:
    """The part of an item's window that the batch covers, as far back as the provider keeps bars."""
    told = [begin for name in (_FROM, KEPT_FROM) if (begin := batch.meta.get(name)) is not None]
    if item.window is None or not told:
        return item.window
    return TimeRange(max(item.window.start, from_micros(max(told))), item.window.end)


def record_rest(
    conn: psycopg.Connection, item: Item, asked: TimeRange | None, providers: Sequence[str], now: datetime
) -> None:
    """Record what lies in an item's window before ``asked`` (all of it for ``None``) as unavailable from these."""
    if item.window is None or item.interval is None:
        return
    end = asked.start if asked else item.window.end
    if item.window.start < end:
        rest = TimeRange(item.window.start, end)
        coverage.record_unavailable(conn, item.instrument_id, item.interval, rest, providers, now, item.id)
