"""Checks one row by itself, in plain Python: types, ranges, time and OHLC.

Batches (:mod:`.screen`) and frames of many rows look for suspects with numpy and have them checked here, so that a row
gets the same findings whichever way it came.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import isfinite
from typing import Any

from fintrack_tasks.domain import Finding, from_micros
from fintrack_tasks.validate.rules import finding
from fintrack_tasks.validate.shapes import Shape

__all__ = ["as_number", "check_row"]


def as_number(cell: object) -> float | None:
    """The float of a cell of decimal text, ``None`` when it is not decimal text. Infinity and NaN are returned as such.

    Decimal text is what :func:`fintrack_tasks.domain.decimal_text` makes; ``float`` alone would also take digits of
    other scripts and underscores, which NUMERIC does not.
    """
    if type(cell) is not str or not cell.isascii() or "_" in cell:
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def check_row(
    row: int,
    cells: Mapping[str, Any],
    shape: Shape,
    span: tuple[int, int],
    ohlc_tolerance: float = 0.0,
    *,
    signed: bool = False,
) -> list[Finding]:
    """The findings on one row by itself: types, ranges, time and OHLC. Never raises.

    :param cells: column to value; ``timestamp`` in microseconds, every other column decimal text or ``None``.
        A column that is not there is not checked.
    :param span: the first and the last microsecond allowed.
    :param ohlc_tolerance: relative; 0 demands the inequalities exactly.
    :param signed: prices may be zero or negative.
    """
    found: list[Finding] = []
    _check_time(found, row, cells, span)
    numbers: dict[str, float] = {}
    partial = shape.partial if (as_number(cells.get("close")) or 0.0) > 0 or signed else ()
    for name in shape.prices:
        if name in cells and (number := _price(found, row, name, cells, partial, signed=signed)) is not None:
            numbers[name] = number
    for name in shape.amounts:
        number = None if cells.get(name) is None else _finite(found, row, name, cells[name])
        if number is not None and number < 0:
            found.append(finding("value_ranges", row, f"{name} is not at least zero: {cells[name]:.40}"))
    for name in shape.others:
        if cells.get(name) is not None:
            _finite(found, row, name, cells[name])
    if shape.ohlc:
        _check_ohlc(found, row, cells, numbers, ohlc_tolerance)
    return found


def _price(
    found: list[Finding], row: int, name: str, cells: Mapping[str, Any], partial: Collection[str], *, signed: bool
) -> float | None:
    """The price in a cell, ``None`` where a finding was added; those in ``partial`` may be unknown."""
    cell = cells[name]
    if cell is None:
        found.append(finding("unknown_price" if name in partial else "value_ranges", row, f"{name} is null"))
        return None
    number = _finite(found, row, name, cell)
    if number is None or number > 0 or signed:
        return number
    if number == 0 and name in partial:
        found.append(finding("unknown_price", row, f"{name} is zero beside a close of {cells['close']:.40}"))
    else:
        found.append(finding("value_ranges", row, f"{name} is not above zero: {cell:.40}"))
    return None


def _finite(found: list[Finding], row: int, name: str, cell: object) -> float | None:
    """The finite number in a cell, ``None`` where a finding was added."""
    number = as_number(cell)
    if number is None:
        found.append(finding("data_types", row, f"{name} is not a decimal number: {cell!r:.40}"))
    elif not isfinite(number):
        found.append(finding("value_ranges", row, f"{name} is not finite: {cell!s:.40}"))
        return None
    return number


def _check_time(found: list[Finding], row: int, cells: Mapping[str, Any], span: tuple[int, int]) -> None:
    stamp = cells.get("timestamp")
    if stamp is None:
        if "timestamp" in cells:
            found.append(finding("timestamps", row, "timestamp is null"))
    elif type(stamp) is not int:
        found.append(finding("data_types", row, f"timestamp is not a time: {stamp!r:.40}"))
    elif stamp < span[0]:
        found.append(finding("timestamps", row, f"timestamp is before {from_micros(span[0]).date()}"))
    elif stamp > span[1]:
        found.append(finding("timestamps", row, f"timestamp is in the future: {_time_text(stamp)}"))


def _time_text(stamp: int) -> str:
    try:
        return from_micros(stamp).isoformat()
    except OverflowError:  # beyond the year 9999
        return f"{stamp:.3e} microseconds"


def _check_ohlc(
    found: list[Finding], row: int, cells: Mapping[str, Any], numbers: Mapping[str, float], tolerance: float
) -> None:
    if not {"open", "high", "low", "close"} <= cells.keys():
        return
    unknown = float("nan")
    low, high = numbers.get("low", unknown), numbers.get("high", unknown)
    low, high = low - abs(low) * tolerance, high + abs(high) * tolerance
    if low > high:
        found.append(finding("ohlc", row, f"low {cells['low']} is above high {cells['high']}"))
    for name in ("open", "close"):
        number = numbers.get(name, unknown)
        if number > high:
            found.append(finding("ohlc", row, f"{name} {cells[name]} is above high {cells['high']}"))
        if number < low:
            found.append(finding("ohlc", row, f"{name} {cells[name]} is below low {cells['low']}"))
