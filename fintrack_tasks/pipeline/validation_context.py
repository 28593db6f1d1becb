"""The queries that fill the validation context of an item's batch: two for bars, none for quotes.

The context itself is :class:`fintrack_tasks.validate.context.ValidationContext`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from math import nan, prod
from typing import TYPE_CHECKING, NamedTuple

from fintrack_tasks.calendars import calendar_name
from fintrack_tasks.domain import Batch, CorporateAction, Instrument, Interval, Item, Kind, to_micros
from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.session_times import TradingSessions, calendar_sessions
from fintrack_tasks.store import corporate_actions, known_bars
from fintrack_tasks.store.known_bars import KnownBar
from fintrack_tasks.transform.batch import MINOR_UNITS
from fintrack_tasks.transform.corporate_actions import actions_of, adjusted_to
from fintrack_tasks.validate import Limits, OtherProviderBars, PriorBars, ValidationContext
from fintrack_tasks.validate.context import SEQUENCE_LOOKBACK

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["gather"]


class _Split(NamedTuple):
    """``ratio`` new shares for an old one, for bars that are stamped ``first`` or later."""

    first: int
    ex_date: date
    ratio: float


def gather(item: Item, batch: Batch, *, context: StageContext, limits: Limits) -> ValidationContext:
    """The context of a batch.

    A quote needs its calendar only when it is old; a fresh one costs no query and no calendar.

    :raises ConfigurationError: when the calendar of an instrument's bars is unknown or cannot be computed.
    """
    kind = item.instrument.asset_class
    if batch.kind is Kind.QUOTE:
        return ValidationContext(
            kind, _sessions_of_old(item.instrument, batch, context.now, limits.by_class[kind].stale_after)
        )
    first, last = limits.span(context.now, item.interval)
    stamps = [stamp for stamp in batch.columns["timestamp"] if type(stamp) is int and first <= stamp <= last]
    if not stamps or item.interval is None:
        return ValidationContext(kind)
    with context.database.connection() as conn:
        span = (min(stamps), max(stamps))
        known = known_bars.around(conn, item.instrument_id, item.interval, span, batch.source, SEQUENCE_LOOKBACK)
        splits = _splits(corporate_actions.splits(conn, item.instrument_id), batch, item.interval)
    before, stored = _compared(known, batch, splits)
    until = adjusted_to(batch)
    # A move on the day of a split that the batch is restated for is a real one.
    told = tuple((split.first, split.ratio) for split in splits if until is None or split.ex_date > until)
    return ValidationContext(kind, calendar_sessions(calendar_name(item.instrument)), before, told, stored)


def _sessions_of_old(
    instrument: Instrument, batch: Batch, now: datetime, stale_after: timedelta
) -> TradingSessions | None:
    oldest = min((s for s in batch.columns["timestamp"] if type(s) is int), default=None)
    if oldest is None or to_micros(now) - oldest <= stale_after // timedelta(microseconds=1):
        return None
    try:
        return calendar_sessions(calendar_name(instrument))
    except ConfigurationError:  # a price is worth having even where nobody knows when it is stale
        return None


def _compared(known: Sequence[KnownBar], batch: Batch, splits: Sequence[_Split]) -> tuple[PriorBars, OtherProviderBars]:
    """Stored bars in the terms of the batch: in its currency unit, restated for the same splits.

    Bars in another currency are left out.
    """
    import numpy as np  # noqa: PLC0415  # a worker that sees quotes alone loads no numpy

    until = adjusted_to(batch)
    usable = [
        (bar, unit / shares, shares)
        for bar in known
        if (unit := _factor(bar.currency, batch.currency)) and (shares := _shares(bar, until, splits))
    ]
    before = [row for row in usable if row[0].earlier]
    others = [row for row in usable if not row[0].earlier]

    def prices(name: str) -> NDArray[np.float64]:
        return np.array([_known(getattr(bar, name)) * factor for bar, factor, _ in before], dtype=np.float64)

    return PriorBars(
        np.array([bar.timestamp for bar, _, _ in before], dtype=np.int64),
        prices("open"),
        prices("high"),
        prices("low"),
        prices("close"),
        np.array([np.nan if bar.volume is None else bar.volume * n for bar, _, n in before], dtype=np.float64),
    ), OtherProviderBars(
        np.array([bar.timestamp for bar, _, _ in others], dtype=np.int64),
        np.array([bar.close * factor for bar, factor, _ in others], dtype=np.float64),
        tuple(bar.source for bar, _, _ in others),
    )


def _known(price: float | None) -> float:
    return nan if price is None else price


def _factor(stored: str | None, currency: str | None) -> float | None:
    """The factor from a stored price to the batch's unit: providers quote pence, the tables hold pounds."""
    main, places = MINOR_UNITS.get(currency or "", (currency, 0))
    if stored is not None and main is not None and stored != main:
        return None
    return float(10**places)


def _shares(bar: KnownBar, until: date | None, splits: Sequence[_Split]) -> float:
    """How many of the batch's shares one share of a stored bar is, by the splits between them.

    The product of the splits that the batch is restated for and the bar is not, divided by that of the splits that the
    bar alone is restated for.
    """
    own = bar.adjusted_to
    return prod(
        split.ratio ** ((until is not None and split.ex_date <= until) - (own is not None and split.ex_date <= own))
        for split in splits
        if split.first > bar.timestamp
    )


def _splits(stored: Sequence[CorporateAction], batch: Batch, interval: Interval) -> list[_Split]:
    """The known splits, and those that the batch brings."""
    known = {split.ex_date: split for split in [*actions_of(batch), *stored] if split.kind == "split"}
    return [
        _Split(
            to_micros(datetime.combine(day, time(), UTC) if interval is Interval.D1 else split.effective_at),
            day,
            float(split.numerator / split.denominator),
        )
        for day, split in sorted(known.items())
        if split.numerator and split.denominator
    ]
