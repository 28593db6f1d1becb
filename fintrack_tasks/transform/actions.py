"""Splits and dividends as a provider tells them beside its bars.

``meta["splits"]`` holds ``[time, numerator, denominator]``, ``meta["dividends"]`` ``[time, amount]``, times being
microseconds of the ex-date's opening. ``meta["zone"]`` is the exchange's, ``meta["unit"]`` the minor unit that prices
came in, and ``meta["adjusted_to"]`` the date up to which the provider has restated prices and dividends for splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, tzinfo
from decimal import Context, Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fintrack_tasks.domain import Batch, CorporateAction, from_micros
from fintrack_tasks.transform.clean import MINOR_UNITS

__all__ = ["actions_of", "adjusted_to"]

_EXACT: Final = Context(prec=100)
_LEAST_CHANGE: Final = Decimal("0.000001")
_LARGEST: Final = Decimal(100_000)
"""No exchange ever saw a split beyond it, nor one that changed less: such a ratio is an error of its source."""


def actions_of(batch: Batch) -> list[CorporateAction]:
    """The splits and dividends of a batch, one of a kind a day, oldest first.

    What is told twice counts once; different dividends of one day (a special one beside the regular) are one of their
    sum, different splits one of their product. Amounts are in whole units of the batch's currency.

    :raises ValueError: when the meta is none of ours.
    """
    try:
        return sorted([*_splits(batch), *_dividends(batch)], key=lambda each: (each.ex_date, each.kind))
    except (TypeError, KeyError, ArithmeticError, OSError) as error:
        raise ValueError(f"no splits and dividends: {error!r:.100}") from None


def adjusted_to(batch: Batch) -> date | None:
    """The date up to which the batch's prices are restated for splits; ``None`` for prices as they were traded."""
    text = batch.meta.get("adjusted_to")
    return date.fromisoformat(text) if text else None


def _splits(batch: Batch) -> Iterator[CorporateAction]:
    for day, opens, told in _by_day(batch, "splits"):
        over = under = Decimal(1)
        for numerator, denominator in told:
            if numerator > 0 and denominator > 0:
                over, under = _EXACT.multiply(over, numerator), _EXACT.multiply(under, denominator)
        if abs(over / under - 1) > _LEAST_CHANGE and 1 / _LARGEST <= over / under <= _LARGEST:
            yield CorporateAction("split", day, opens, over, under)


def _dividends(batch: Batch) -> Iterator[CorporateAction]:
    _, places = MINOR_UNITS.get(str(batch.meta.get("unit")), (None, 0))
    for day, opens, told in _by_day(batch, "dividends"):
        amount = sum((each for (each,) in told), Decimal(0)).scaleb(-places)
        if amount > 0:
            yield CorporateAction(
                "dividend", day, opens, amount=amount, currency=batch.currency, adjusted_to=adjusted_to(batch)
            )


def _zone(batch: Batch) -> tzinfo:
    """The exchange's zone; UTC where nobody knows the one that is named: most sessions open on its date, too."""
    try:
        return ZoneInfo(str(batch.meta.get("zone") or "UTC"))
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _by_day(batch: Batch, name: str) -> Iterator[tuple[date, datetime, list[tuple[Decimal, ...]]]]:
    """Each ex-date by the exchange's own clock, its opening, and the different numbers told of it."""
    rows: Sequence[Any] = batch.meta.get(name) or ()
    zone = _zone(batch) if rows else UTC
    days: dict[date, tuple[datetime, dict[tuple[Decimal, ...], None]]] = {}
    for stamp, *numbers in sorted(rows, key=lambda row: int(row[0])):
        opens = from_micros(stamp)
        _, told = days.setdefault(opens.astimezone(zone).date(), (opens, {}))
        told[tuple(map(Decimal, numbers))] = None
    for day, (opens, told) in days.items():
        yield day, opens, list(told)
