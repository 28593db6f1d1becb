"""Cleans a batch after its checks: order of rows, main currency units, the price change of a quote.

All arithmetic is on decimals; a price that needs no conversion keeps its provider's own text. A user's DataFrame is
cleaned in :mod:`fintrack_tasks.transform.frames.clean`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

from fintrack_tasks.domain import Batch, Kind

__all__ = ["MINOR_UNITS", "PRICE_COLUMNS", "clean_batch"]

MINOR_UNITS: Final = {
    "GBp": ("GBP", 2),  # London quotes pence
    "GBX": ("GBP", 2),
    "ZAc": ("ZAR", 2),  # Johannesburg quotes cents
    "ZAC": ("ZAR", 2),
    "ILA": ("ILS", 2),  # Tel Aviv quotes agorot
    "USX": ("USD", 2),  # some futures are quoted in cents
    "KWF": ("KWD", 3),  # Kuwait quotes fils, of which a thousand are a dinar
}
"""A provider's code of a minor unit: the ISO 4217 currency, and the decimal places by which the unit lies below it."""

PRICE_COLUMNS: Final = frozenset({"price", "previous_close", "open", "high", "low", "close", "adj_close", "bid", "ask"})
"""The columns that are amounts of money. ``volume`` counts shares, and is not among them."""

# Wide enough that no difference of two prices is rounded; only the fraction is.
_EXACT: Final = Context(prec=100, rounding=ROUND_HALF_EVEN, traps=[])
_TEN_DIGITS: Final = Context(prec=10, rounding=ROUND_HALF_EVEN, traps=[])


def clean_batch(batch: Batch) -> Batch:
    """The batch in the order of time, in main currency units, and for quotes with their price change.

    - Rows run from the oldest to the newest; rows of one time keep their order.
    - Prices in a minor unit (:data:`MINOR_UNITS`) become the main unit exactly, ``currency`` names that, and
      ``meta["unit"]`` keeps the provider's code. The function is idempotent.
    - Quotes get ``price_change`` = price - previous_close, exact, and ``price_change_pct`` = price_change /
      previous_close as a fraction (0.01 is one percent) rounded to 10 significant digits; both ``None`` where the
      previous close is unknown or zero; the fraction also where it is negative, because its sign would be wrong. Both
      are ``None`` without a column ``previous_close``.

    :raises ValueError: when a price is not decimal text, which the checks reject.
    """
    batch = _in_main_unit(_in_order(batch))
    return _with_change(batch) if batch.kind is Kind.QUOTE else batch


def _in_order(batch: Batch) -> Batch:
    stamps = batch.columns["timestamp"]
    order = sorted(range(len(stamps)), key=stamps.__getitem__)
    return batch if order == list(range(len(stamps))) else batch.take(order)


def _in_main_unit(batch: Batch) -> Batch:
    if batch.currency not in MINOR_UNITS:
        return batch
    currency, places = MINOR_UNITS[batch.currency]
    columns = {
        name: [_shifted(cell, places) for cell in cells] if name in PRICE_COLUMNS else cells
        for name, cells in batch.columns.items()
    }
    return replace(batch, columns=columns, currency=currency, meta={**batch.meta, "unit": batch.currency})


def _shifted(cell: str | None, places: int) -> str | None:
    return None if cell is None else format(_decimal(cell).scaleb(-places, _EXACT), "f")


def _with_change(batch: Batch) -> Batch:
    previous: Sequence[Any] = batch.columns.get("previous_close") or [None] * len(batch)
    changes = [_change(price, before) for price, before in zip(batch.columns["price"], previous, strict=True)]
    return batch.with_columns(
        price_change=[change for change, _ in changes], price_change_pct=[share for _, share in changes]
    )


def _change(price: str | None, previous: str | None) -> tuple[str | None, str | None]:
    if price is None or previous is None:
        return None, None
    before = _decimal(previous)
    if not before:
        return None, None
    change = _EXACT.subtract(_decimal(price), before)
    return format(change, "f"), format(_TEN_DIGITS.divide(change, before), "f") if before > 0 else None


def _decimal(cell: str) -> Decimal:
    try:
        number = Decimal(cell)
    except ArithmeticError:
        raise ValueError(f"not a decimal number: {cell!r:.60}") from None
    if not number.is_finite():
        raise ValueError(f"not a finite number: {cell!r:.60}")
    return number
