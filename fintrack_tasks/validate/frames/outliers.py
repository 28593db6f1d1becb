"""Finds outliers in a user's DataFrame: the rules for jumps and volumes of :mod:`fintrack_tasks.validate.sequence`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fintrack_tasks.domain import AssetClass, Finding, Interval
from fintrack_tasks.validate.context import ValidationContext
from fintrack_tasks.validate.frames.columns import Table, read_table
from fintrack_tasks.validate.rules import Limits
from fintrack_tasks.validate.sequence import BarSequence, check_sequence

__all__ = ["find_outliers"]


def find_outliers(data: pd.DataFrame, interval: Interval = Interval.D1, limits: Limits | None = None) -> list[Finding]:
    """The findings of ``unit_error``, ``missed_split``, ``price_jump`` and ``volume_anomaly``, ordered by row.

    Each symbol's rows are judged in the order of time against those before them; ``row`` is the position in the frame.
    The price is ``price`` or else ``close``, ``volume`` may be missing. Rows without symbol, time or a price above zero
    take no part, and of rows of one symbol and time only the first does:
    :meth:`fintrack_tasks.validate.DataValidator.validate_market_data` names them. Never raises for what a frame may
    hold, and does not change it.

    :param interval: how far rows normally lie apart; a longer gap between two rows widens the limit.
    """
    cells = read_table(data, ("symbol", "timestamp", "price" if "price" in data.columns else "close", "volume"))
    price = cells.columns.get("price") or cells.columns.get("close")
    if cells.symbols is None or cells.times is None or price is None:
        return []
    usable = cells.symbols.fine & cells.times.fine & price.fine & np.isfinite(price.values) & (price.values > 0)
    places = np.flatnonzero(usable)
    order = places[np.lexsort((cells.times.values[places], cells.symbols.values[places].astype(str)))]
    symbols = cells.symbols.values[order].astype(str)
    found: list[Finding] = []
    for rows in np.split(order, np.flatnonzero(symbols[1:] != symbols[:-1]) + 1) if len(order) else []:
        found += _of_symbol(cells, price.values, rows, interval, limits or Limits())
    return sorted(found, key=lambda one: one.row or 0)


def _of_symbol(cells: Table, prices: np.ndarray, rows: np.ndarray, interval: Interval, limits: Limits) -> list[Finding]:
    assert cells.symbols is not None  # noqa: S101  the caller looked
    assert cells.times is not None  # noqa: S101  the caller looked
    stamps = cells.times.values[rows]
    rows = rows[np.concatenate([[True], stamps[1:] > stamps[:-1]])]
    close = prices[rows]
    volume = np.full(len(rows), np.nan)
    if (given := cells.columns.get("volume")) is not None:
        right = given.fine[rows] & (given.values[rows] >= 0)
        volume[right] = given.values[rows][right]
    kind = AssetClass.by_form(str(cells.symbols.values[rows[0]]).upper())
    bars = BarSequence(rows, cells.times.values[rows], close, close, close, close, volume)
    return check_sequence(bars, ValidationContext(kind), interval, "", limits)
