"""Reads a DataFrame's columns of any dtype into typed arrays and canonical cells, without raising."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintrack_tasks.domain import to_micros
from fintrack_tasks.validate.row import as_number

__all__ = ["Column", "Table", "read_floats", "read_table", "read_times"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Column:
    """A column as read, in arrays of the frame's length.

    :param values: float64, int64 microseconds, or str objects.
    :param null: a mask of the null cells.
    :param fine: a mask of the cells that are known and of the right type; what is neither has a wrong type.
    :param raw: the column as it was given.
    """

    values: NDArray[Any]
    null: Mask
    fine: Mask
    raw: pd.Series


@dataclass(frozen=True, slots=True)
class Table:
    """Those columns of a frame that were asked for and are there."""

    size: int
    columns: dict[str, Column] = field(default_factory=dict)
    ambiguous: tuple[str, ...] = ()
    """Names of more than one column, of which the first was read."""

    @property
    def present(self) -> set[str]:
        return set(self.columns)

    @property
    def symbols(self) -> Column | None:
        return self.columns.get("symbol")

    @property
    def times(self) -> Column | None:
        return self.columns.get("timestamp")

    @property
    def numeric(self) -> dict[str, Column]:
        return {name: column for name, column in self.columns.items() if name not in ("symbol", "timestamp")}

    def row(self, row: int) -> dict[str, Any]:
        """One row as the canonical cells of a batch; a cell that cannot be read is an object of a type of its own."""
        return {name: self._cell(name, column, row) for name, column in self.columns.items() if name != "symbol"}

    def cells(self, name: str, rows: NDArray[np.int64]) -> list[Any]:
        """The cells of one column at these rows, as :meth:`row` gives them."""
        column = self.columns[name]
        values, known = column.values[rows].tolist(), column.fine[rows]
        found = values if name == "timestamp" else [repr(value) for value in values]
        for place in np.flatnonzero(~known).tolist():
            found[place] = self._cell(name, column, int(rows[place]))
        return found

    def shown(self, name: str, row: int) -> str:
        """A cell as a finding's detail shows it."""
        return f"{self.columns[name].raw.iloc[row]!r:.40}"

    def _cell(self, name: str, column: Column, row: int) -> Any:
        if column.null[row]:
            return None
        if not column.fine[row]:
            return _Unreadable(column.raw.iloc[row])
        return int(column.values[row]) if name == "timestamp" else repr(float(column.values[row]))


class _Unreadable:
    """A cell of a wrong type, which every check refuses; its ``repr`` is that of the cell."""

    def __init__(self, cell: object) -> None:
        self._cell = cell

    def __repr__(self) -> str:
        return repr(self._cell)


def read_table(data: pd.DataFrame, names: Sequence[str]) -> Table:
    """These columns of a frame, as far as it has them: ``symbol`` text, ``timestamp`` times, all others numbers."""
    labels = list(data.columns)
    columns, ambiguous = {}, []
    for name in names:
        places = [place for place, label in enumerate(labels) if isinstance(label, str) and label == name]
        if not places:
            continue
        if len(places) > 1:
            ambiguous.append(name)
        read = {"symbol": _read_texts, "timestamp": read_times}.get(name, read_floats)
        columns[name] = read(data.iloc[:, places[0]])
    return Table(len(data), columns, tuple(ambiguous))


def read_floats(series: pd.Series) -> Column:
    """A column as float64; NaN is null. Decimal text is read; bools, times and complex numbers are wrong types."""
    dtype = series.dtype
    if pd.api.types.is_numeric_dtype(dtype) and not (
        pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_complex_dtype(dtype)
    ):
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        null = np.isnan(values)
        return Column(values, null, ~null, series)
    return _cell_by_cell(series, _number, np.float64, np.nan)


def read_times(series: pd.Series) -> Column:
    """A column as int64 microseconds since 1970 UTC; naive times are read as UTC. Numbers are a wrong type: their unit
    is not known."""
    if pd.api.types.is_datetime64_any_dtype(series.dtype) and not isinstance(series.dtype, pd.ArrowDtype):
        naive = series.dt.tz_convert(None) if series.dt.tz is not None else series
        null = series.isna().to_numpy(dtype=np.bool_)
        micros = naive.to_numpy(dtype="datetime64[us]").astype(np.int64)
        return Column(np.where(null, 0, micros), null, ~null, series)
    return _cell_by_cell(series, _micros, np.int64, 0)


def _read_texts(series: pd.Series) -> Column:
    cells = series.tolist()
    null = np.array([_is_null(cell) or (isinstance(cell, str) and not cell.strip()) for cell in cells], dtype=np.bool_)
    text = np.array([isinstance(cell, str) for cell in cells], dtype=np.bool_)
    values = np.array([cell if isinstance(cell, str) else "" for cell in cells], dtype=object)
    return Column(values, null, text & ~null, series)


def _cell_by_cell(series: pd.Series, read: Callable[[Any], Any], dtype: type, blank: Any) -> Column:
    cells = series.tolist()
    null = np.array([_is_null(cell) for cell in cells], dtype=np.bool_)
    got = [None if absent else read(cell) for cell, absent in zip(cells, null, strict=True)]
    fine = np.array([value is not None for value in got], dtype=np.bool_)
    return Column(np.array([blank if value is None else value for value in got], dtype=dtype), null, fine, series)


def _is_null(cell: Any) -> bool:
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return True
    if isinstance(cell, np.datetime64 | np.timedelta64):
        return bool(np.isnat(cell))
    if isinstance(cell, Decimal):
        return cell.is_nan()
    return isinstance(cell, float | np.floating) and bool(np.isnan(cell))


def _number(cell: Any) -> float | None:
    if isinstance(cell, str):
        return as_number(cell)
    if isinstance(cell, bool | np.bool_) or not isinstance(cell, Real | Decimal):
        return None
    try:
        return float(cell)
    except OverflowError:  # an integer beyond the range of floats counts as not finite
        return math.inf


def _micros(cell: Any) -> int | None:
    try:
        if isinstance(cell, str):
            cell = datetime.fromisoformat(cell)
        elif isinstance(cell, np.datetime64):
            cell = pd.Timestamp(cell)
        elif isinstance(cell, date) and not isinstance(cell, datetime):
            cell = datetime.combine(cell, time())
        if not isinstance(cell, datetime):
            return None
        return to_micros(cell if cell.tzinfo is not None else cell.replace(tzinfo=UTC))
    except (ValueError, OverflowError, pd.errors.OutOfBoundsDatetime):
        return None
