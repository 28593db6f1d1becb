"""Checks the splits, dividends and capital gains beside bars: bounds of their values, and currencies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from fintrack_tasks.domain import Batch, Finding, Kind, payment_amount, split_ratio
from fintrack_tasks.validate.rules import finding

__all__ = ["check_corporate_actions"]

_PAID: Final = {"dividends": "a dividend", "capital_gains": "a capital gain"}


def check_corporate_actions(batch: Batch) -> list[Finding]:
    """A flag, on the row nearest to the ex-date, for each split or payment that is out of bounds, and for each payment
    in another currency than the prices.

    What is out of bounds is left out of the corporate actions (:mod:`fintrack_tasks.transform.corporate_actions`). A
    dividend in pounds beside London's prices in pence counts as another currency: each amount has its own unit.
    """
    if batch.kind is Kind.QUOTE or not len(batch):
        return []
    return [*_out_of_bounds(batch), *_in_other_currency(batch)]


def _events(batch: Batch, name: str) -> Sequence[Any]:
    rows = batch.meta.get(name)
    return rows if isinstance(rows, list) else ()


def _out_of_bounds(batch: Batch) -> Iterator[Finding]:
    for stamp, *ratio in _events(batch, "splits"):
        if split_ratio(*ratio) is None:
            detail = f"a split of {ratio[0]!r:.40} for {ratio[1]!r:.40} is left out"
            yield finding("split_values", _nearest(batch, stamp), detail)
    for name, what in _PAID.items():
        for stamp, *payment in _events(batch, name):
            if payment_amount(*payment) is None:
                detail = f"{what} of {' '.join(f'{each!r:.40}' for each in payment)} is left out"
                yield finding("payment_values", _nearest(batch, stamp), detail)


def _in_other_currency(batch: Batch) -> Iterator[Finding]:
    for name, what in _PAID.items():
        for row in _events(batch, name):
            stamp, amount, currency = (*row, None)[:3]
            if payment_amount(amount, currency) and currency and currency != batch.currency:
                detail = f"{what} of {amount} {currency} beside prices in {batch.currency or 'an unnamed currency'}"
                yield finding("payment_currency", _nearest(batch, stamp), detail)


def _nearest(batch: Batch, stamp: int) -> int:
    stamps = batch.columns["timestamp"]
    known = [place for place, each in enumerate(stamps) if type(each) is int]
    return min(known, key=lambda place: abs(stamps[place] - stamp), default=0)
