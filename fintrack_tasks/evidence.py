"""What the checks of an item's batch must know beside it, fetched: one query for bars, none for quotes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fintrack_tasks.domain import AssetClass, Batch, Instrument, Interval, Item, Kind, from_micros, to_micros
from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.sessions import calendar_name, segments
from fintrack_tasks.store import history
from fintrack_tasks.store.connection import Database
from fintrack_tasks.store.history import KnownBar
from fintrack_tasks.transform.clean import MINOR_UNITS
from fintrack_tasks.validate import Context, Earlier, Hours, Limits, Stored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["gather"]

LOOK_BACK: Final = 61
"""Bars: the 60 returns before one of them are what its jump is measured by."""


def gather(item: Item, batch: Batch, *, database: Database, now: datetime, limits: Limits) -> Context:
    """The context of a batch.

    A quote needs its calendar only when it is old; a fresh one costs no query and no calendar.

    :raises ConfigurationError: when the calendar of an instrument's bars is unknown or cannot be computed.
    """
    kind = item.instrument.asset_class
    if batch.kind is Kind.QUOTE:
        return Context(kind, _hours_of_old(item.instrument, batch, now, limits.by_class[kind].stale_after))
    first, last = limits.span(now, item.interval)
    stamps = [stamp for stamp in batch.columns["timestamp"] if type(stamp) is int and first <= stamp <= last]
    if not stamps or item.interval is None:
        return Context(kind)
    with database.connection() as conn:
        span = (min(stamps), max(stamps))
        known = history.around(conn, item.instrument_id, item.interval, span, batch.source, LOOK_BACK)
    before, stored = _compared(known, batch.currency)
    return Context(kind, _hours(calendar_name(item.instrument)), before, tuple(_splits(batch, item.interval)), stored)


def _hours_of_old(instrument: Instrument, batch: Batch, now: datetime, stale_after: timedelta) -> Hours | None:
    oldest = min((s for s in batch.columns["timestamp"] if type(s) is int), default=None)
    if oldest is None or to_micros(now) - oldest <= stale_after // timedelta(microseconds=1):
        return None
    try:
        return _hours(calendar_name(instrument))
    except ConfigurationError:  # a price is worth having even where nobody knows when it is stale
        return None


@lru_cache(maxsize=64)
def _hours(calendar: str) -> Hours:
    """A calendar's hours, kept: to put them together takes longer than to judge a batch by them."""
    return Hours(*segments(Instrument(calendar, AssetClass.STOCK, calendar=calendar)))


def _compared(known: Sequence[KnownBar], currency: str | None) -> tuple[Earlier, Stored]:
    """Stored bars in the unit of a batch's currency; those in another currency cannot be compared and are left out."""
    import numpy as np  # noqa: PLC0415  # a worker that sees quotes alone loads no numpy

    usable = [(bar, factor) for bar in known if (factor := _factor(bar.currency, currency))]
    before = [(bar, factor) for bar, factor in usable if bar.earlier]
    others = [(bar, factor) for bar, factor in usable if not bar.earlier]

    def prices(name: str) -> NDArray[np.float64]:
        return np.array([getattr(bar, name) * factor for bar, factor in before], dtype=np.float64)

    return Earlier(
        np.array([bar.timestamp for bar, _ in before], dtype=np.int64),
        prices("open"),
        prices("high"),
        prices("low"),
        prices("close"),
        np.array([np.nan if bar.volume is None else bar.volume for bar, _ in before], dtype=np.float64),
    ), Stored(
        np.array([bar.timestamp for bar, _ in others], dtype=np.int64),
        np.array([bar.close * factor for bar, factor in others], dtype=np.float64),
        tuple(bar.source for bar, _ in others),
    )


def _factor(stored: str | None, currency: str | None) -> float | None:
    """What a stored price is multiplied by to be in a batch's unit: providers quote pence, the tables hold pounds."""
    main, places = MINOR_UNITS.get(currency or "", (currency, 0))
    if stored is not None and main is not None and stored != main:
        return None
    return float(10**places)


def _splits(batch: Batch, interval: Interval) -> Iterator[tuple[int, float]]:
    """The splits that a batch's provider told of, each with the first stamp that it applies to.

    Those that are stored (corporate actions) join here.
    """
    try:
        zone = ZoneInfo(str(batch.meta.get("zone") or "UTC"))
    except (ZoneInfoNotFoundError, ValueError):
        zone = ZoneInfo("UTC")
    for told in batch.meta.get("splits") or ():
        stamp, numerator, denominator = int(told[0]), float(told[1]), float(told[2])
        if interval is Interval.D1:
            local = from_micros(stamp).astimezone(zone)
            stamp = to_micros(datetime(local.year, local.month, local.day, tzinfo=UTC))
        if numerator > 0 and denominator > 0:
            yield stamp, numerator / denominator
