"""Splits, dividends and capital gains told beside bars: whether they can be any, and what is paid in which currency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from fintrack_tasks.domain import Batch, Finding, Kind, payment_amount, split_ratio
from fintrack_tasks.validate.rules import finding

__all__ = ["check_corporate_actions"]

_PAID: Final = {"dividends": "a dividend", "capital_gains": "a capital gain"}


def check_corporate_actions(batch: Batch) -> list[Finding]:
    """A flag for each split and payment that can be none, and for each payment whose own currency is not that of the
    prices, on the row nearest to its ex-date.

    What can be none is kept out of the corporate actions (:mod:`fintrack_tasks.transform.corporate_actions`).
    London's prices in pence beside a dividend in pounds differ as well: the amounts are told in units of their own.
    """
    if batch.kind is Kind.QUOTE or not len(batch):
        return []
    return [*_unsound(batch), *_foreign(batch)]


def _told(batch: Batch, name: str) -> Sequence[Any]:
    rows = batch.meta.get(name)
    return rows if isinstance(rows, list) else ()


def _unsound(batch: Batch) -> Iterator[Finding]:
    for stamp, *numbers in _told(batch, "splits"):
        if split_ratio(*numbers) is None:
            detail = f"a split of {numbers[0]!r:.40} for {numbers[1]!r:.40} is left out"
            yield finding("split_values", _nearest(batch, stamp), detail)
    for name, what in _PAID.items():
        for stamp, *said in _told(batch, name):
            if payment_amount(*said) is None:
                detail = f"{what} of {' '.join(f'{each!r:.40}' for each in said)} is left out"
                yield finding("payment_values", _nearest(batch, stamp), detail)


def _foreign(batch: Batch) -> Iterator[Finding]:
    for name, what in _PAID.items():
        for row in _told(batch, name):
            stamp, amount, currency = (*row, None)[:3]
            if payment_amount(amount, currency) and currency and currency != batch.currency:
                detail = f"{what} of {amount} {currency} beside prices in {batch.currency or 'an unnamed currency'}"
                yield finding("payment_currency", _nearest(batch, stamp), detail)


def _nearest(batch: Batch, stamp: int) -> int:
    stamps = batch.columns["timestamp"]
    known = [place for place, each in enumerate(stamps) if type(each) is int]
    return min(known, key=lambda place: abs(stamps[place] - stamp), default=0)
