"""Dividends and capital gains told beside bars: what they are paid in, against what the prices are in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fintrack_tasks.domain import Batch, Finding, Kind
from fintrack_tasks.validate.rules import finding

__all__ = ["check_payments"]

_PAID: Final = {"dividends": "a dividend", "capital_gains": "a capital gain"}


def check_payments(batch: Batch) -> list[Finding]:
    """A flag for each payment whose own currency is not that of the prices, on the row nearest to its ex-date.

    London's prices in pence beside a dividend in pounds differ as well: the amounts are told in units of their own.
    """
    if batch.kind is Kind.QUOTE or not len(batch):
        return []
    return list(_foreign(batch))


def _foreign(batch: Batch) -> Iterator[Finding]:
    for name, what in _PAID.items():
        rows = batch.meta.get(name)
        for row in rows if isinstance(rows, list) else ():
            stamp, amount, currency = (*row, None)[:3]
            if currency and currency != batch.currency:
                detail = f"{what} of {amount} {currency} beside prices in {batch.currency or 'an unnamed currency'}"
                yield finding("payment_currency", _nearest(batch, stamp), detail)


def _nearest(batch: Batch, stamp: int) -> int:
    stamps = batch.columns["timestamp"]
    known = [place for place, each in enumerate(stamps) if type(each) is int]
    return min(known, key=lambda place: abs(stamps[place] - stamp), default=0)
