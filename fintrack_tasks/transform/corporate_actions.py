"""Reads a batch's splits, dividends and capital gains, which a provider gives beside its bars, as corporate actions.

``meta["splits"]`` holds ``[time, numerator, denominator]``, ``meta["dividends"]`` and ``meta["capital_gains"]``
``[time, amount]`` or ``[time, amount, currency]`` where an amount has a currency of its own; times are microseconds of
the ex-date's opening. ``meta["zone"]`` is the exchange's, ``meta["unit"]`` the minor unit that prices came in, and
``meta["adjusted_to"]`` the date up to which the provider has restated prices and dividends for splits. Values that are
out of bounds are flagged in :mod:`fintrack_tasks.validate.corporate_actions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, tzinfo
from decimal import Context, Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fintrack_tasks.domain import Batch, CorporateAction, from_micros, payment_amount, split_ratio
from fintrack_tasks.transform.batch import MINOR_UNITS

__all__ = ["PAID", "actions_of", "adjusted_to"]

PAID: Final = {"dividend": "dividends", "capital_gain": "capital_gains"}
"""Payments to shareholders: the kind of the action, and its name in ``meta``."""

_EXACT: Final = Context(prec=100)


def actions_of(batch: Batch) -> list[CorporateAction]:
    """The splits, dividends and capital gains of a batch, at most one of each kind a day, oldest first.

    Repeated events count once. Different dividends of one day (a special one beside the regular) become one of their
    sum, different splits one of their product. Amounts are in main units of their currency: the one that the event
    names, else the batch's. A day's dividends in several currencies have no sum: amount and currency are ``None``.
    Events that are out of bounds are left out.

    :raises ValueError: when the meta does not have this module's form.
    """
    try:
        paid = (action for kind, name in PAID.items() for action in _paid(batch, kind, name))
        return sorted([*_splits(batch), *paid], key=lambda each: (each.ex_date, each.kind))
    except (TypeError, KeyError, ArithmeticError, OSError) as error:
        raise ValueError(f"no splits and dividends: {error!r:.100}") from None


def adjusted_to(batch: Batch) -> date | None:
    """The date up to which the batch's prices are restated for splits; ``None`` for prices as they were traded."""
    text = batch.meta.get("adjusted_to")
    return date.fromisoformat(text) if text else None


def _splits(batch: Batch) -> Iterator[CorporateAction]:
    for day, opens, events in _by_day(batch, "splits"):
        over = under = Decimal(1)
        sound = (event for event in events if split_ratio(*event))
        for numerator, denominator in dict.fromkeys(tuple(map(Decimal, event)) for event in sound):
            over, under = _EXACT.multiply(over, numerator), _EXACT.multiply(under, denominator)
        if split_ratio(str(over), str(under)):
            yield CorporateAction("split", day, opens, over, under)


def _paid(batch: Batch, kind: str, name: str) -> Iterator[CorporateAction]:
    """The dividends, or the capital gains, of each day."""
    for day, opens, events in _by_day(batch, name):
        sums: dict[str | None, Decimal] = {}
        sound = (event for event in events if payment_amount(*event))
        for currency, amount in dict.fromkeys(_in_main_unit(batch, *event) for event in sound):
            sums[currency] = sums.get(currency, Decimal(0)) + amount
        if not sums:
            continue
        action = CorporateAction(kind, day, opens, adjusted_to=adjusted_to(batch))
        [(of, total), *others] = sums.items()
        yield action if others else replace(action, amount=total, currency=of)


def _in_main_unit(batch: Batch, amount: str, own: str | None = None) -> tuple[str | None, Decimal]:
    """An amount's currency, and the amount in main units of it: pence become pounds.

    The prices of a cleaned batch are in main units already; its ``meta["unit"]`` is still that of the events.
    """
    unit = own or batch.meta.get("unit") or batch.currency
    currency, places = MINOR_UNITS.get(str(unit), (unit, 0))
    return currency, Decimal(amount).scaleb(-places)


def _zone(batch: Batch) -> tzinfo:
    """The exchange's zone; UTC for an unknown name: most sessions open on the UTC date as well."""
    try:
        return ZoneInfo(str(batch.meta.get("zone") or "UTC"))
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _by_day(batch: Batch, name: str) -> Iterator[tuple[date, datetime, list[tuple[str, ...]]]]:
    """Each ex-date in the exchange's zone, its opening, and the distinct events of it."""
    rows: Sequence[Any] = batch.meta.get(name) or ()
    zone = _zone(batch) if rows else UTC
    days: dict[date, tuple[datetime, dict[tuple[str, ...], None]]] = {}
    for stamp, *event in sorted(rows, key=lambda row: int(row[0])):
        opens = from_micros(stamp)
        _, events = days.setdefault(opens.astimezone(zone).date(), (opens, {}))
        events[tuple(event)] = None
    for day, (opens, events) in days.items():
        yield day, opens, list(events)
