"""Finds the suspect rows of a batch with numpy, for :func:`fintrack_tasks.validate.row.check_row` to check one by one.

It may name a right row, never miss a wrong one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fintrack_tasks.domain import Batch
from fintrack_tasks.validate.row import as_number
from fintrack_tasks.validate.shapes import SHAPES

__all__ = ["Screened", "screen"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Screened:
    """The outcome of a screening.

    :ivar suspects: positions of the rows to check one by one, ascending.
    :ivar in_order: all times are known and strictly ascending.
    :ivar values: the columns as float64 arrays, NaN where there is no number.
    """

    suspects: list[int]
    in_order: bool
    values: Mapping[str, Floats]


def screen(batch: Batch, span: tuple[int, int], ohlc_tolerance: float, *, signed: bool = False) -> Screened:
    """Read the columns of a batch and find the rows that may be wrong by themselves.

    :param signed: prices may be zero or negative.
    """
    shape, columns = SHAPES[batch.kind], batch.columns
    suspect, in_order = _times(columns["timestamp"], span)
    numbers: dict[str, Floats] = {}
    for name in (*shape.prices, *shape.amounts, *shape.others):
        if name not in columns:
            continue
        values, null, wrong = _numbers(columns[name])
        numbers[name] = values
        fine = np.isfinite(values)
        if name in shape.prices:
            fine &= (values > 0) | signed
        else:
            if name in shape.amounts:
                fine &= values >= 0
            fine |= null
        suspect |= ~fine | wrong
    if shape.ohlc and {"open", "high", "low", "close"} <= numbers.keys():
        with np.errstate(invalid="ignore"):  # infinity is wrong by itself
            low = numbers["low"] - np.abs(numbers["low"]) * ohlc_tolerance
            high = numbers["high"] + np.abs(numbers["high"]) * ohlc_tolerance
        body_low = np.minimum(numbers["open"], numbers["close"])
        body_high = np.maximum(numbers["open"], numbers["close"])
        suspect |= (body_low < low) | (body_high > high) | (low > high)
    if not signed:  # such a zero is unknown: no other check may take it for a price
        numbers |= {
            name: np.where(numbers[name] == 0, np.nan, numbers[name]) for name in shape.partial if name in numbers
        }
    return Screened(np.flatnonzero(suspect).tolist(), in_order, numbers)


def _times(cells: Sequence[Any], span: tuple[int, int]) -> tuple[Mask, bool]:
    wrong = np.zeros(len(cells), dtype=np.bool_)
    if set(map(type, cells)) != {int}:
        wrong = np.fromiter((type(cell) is not int for cell in cells), np.bool_, len(cells))
        if wrong.any():
            stamps = [0 if type(cell) is not int else cell for cell in cells]
            return wrong | _times(stamps, span)[0] if stamps else wrong, False
    if not len(cells):
        return wrong, True
    try:
        micros = np.array(cells, dtype=np.int64)
    except OverflowError:  # far beyond any year: every row is a suspect
        return np.ones(len(cells), dtype=np.bool_), False
    return (micros < span[0]) | (micros > span[1]), bool((micros[1:] > micros[:-1]).all())


def _numbers(cells: Sequence[Any]) -> tuple[Floats, Mask, Mask]:
    """The floats of a column, NaN where there is no number; a mask of its nulls; a mask of what is not decimal text."""
    size = len(cells)
    none = np.zeros(size, dtype=np.bool_)
    if set(map(type, cells)) == {str}:
        joined = "".join(cells)
        if joined.isascii() and "_" not in joined:
            try:
                return np.fromiter(map(float, cells), np.float64, size), none, none
            except ValueError:
                pass  # some cell is no number: find it below
    parsed = [as_number(cell) for cell in cells]
    null = np.fromiter((cell is None for cell in cells), np.bool_, size)
    missing = np.fromiter((number is None for number in parsed), np.bool_, size)
    values = np.array([np.nan if number is None else number for number in parsed], dtype=np.float64)
    return values, null, missing & ~null
