"""Splits, dividends and capital gains, and the bounds within which a provider's numbers are taken for them.

How they are read from a batch is in :mod:`fintrack_tasks.transform.corporate_actions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from fintrack_tasks.domain.currencies import is_currency
from fintrack_tasks.domain.decimals import bounded_decimal

__all__ = ["CorporateAction", "payment_amount", "split_ratio"]


_LEAST_CHANGE: Final = Decimal("0.000001")
_LARGEST_SPLIT: Final = Decimal(100_000)
"""The largest split: a ratio beyond it, or within ``_LEAST_CHANGE`` of 1, is an error of its source."""
_LARGEST_PAYMENT: Final = Decimal(10**9)
"""The largest payment a share, in any currency."""


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """A split, a dividend or a fund's capital gain.

    :param kind: ``split``, ``dividend`` or ``capital_gain``.
    :param effective_at: the opening of the ex-date, aware UTC.
    :param numerator: of a split, new shares for ``denominator`` old ones.
    :param amount: of a payment, a share, in whole units of ``currency``; both ``None`` where a day's payments are in
        several currencies.
    :param adjusted_to: the date up to which ``amount`` is restated for splits; ``None``: as it was paid.
    """

    kind: str
    ex_date: date
    effective_at: datetime
    numerator: Decimal | None = None
    denominator: Decimal | None = None
    amount: Decimal | None = None
    currency: str | None = None
    adjusted_to: date | None = None


def split_ratio(numerator: object, denominator: object) -> Decimal | None:
    """New shares for one old share, from the decimal texts of a split; ``None`` where these describe no split."""
    over, under = (bounded_decimal(each) if isinstance(each, str) else None for each in (numerator, denominator))
    if over is None or under is None or over <= 0 or under <= 0:
        return None
    ratio = over / under
    return ratio if abs(ratio - 1) > _LEAST_CHANGE and 1 / _LARGEST_SPLIT <= ratio <= _LARGEST_SPLIT else None


def payment_amount(amount: object, currency: object = None) -> Decimal | None:
    """The amount paid a share, from its decimal text; ``None`` where it, or its currency, is out of bounds."""
    paid = bounded_decimal(amount) if isinstance(amount, str) else None
    if paid is None or not 0 < paid <= _LARGEST_PAYMENT:
        return None
    return paid if currency is None or is_currency(currency) else None
