"""Cleans a user's DataFrame by the findings on it: drops rejected rows, marks outliers, fills gaps where asked.

The pipeline's batches are cleaned in :mod:`fintrack_tasks.transform.batch`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final, Literal

import numpy as np
import pandas as pd

from fintrack_tasks.domain import REJECT, Finding
from fintrack_tasks.errors import UsageError

__all__ = ["OUTLIER_RULES", "clean_market_data"]

OUTLIER_RULES: Final = frozenset({"price_jump", "missed_split", "volume_anomaly"})
"""The rules whose flags make a row an outlier."""


def clean_market_data(
    data: pd.DataFrame,
    findings: Iterable[Finding],
    *,
    outliers: Literal["keep", "mark", "drop"] = "keep",
    forward_fill: Sequence[str] = (),
    max_gap: timedelta | None = None,
) -> pd.DataFrame:
    """A new frame without the rejected rows, in the order and with the index of the input.

    - Rows with a rejecting finding (invalid rows and duplicates) are dropped, all rows when the frame as a whole is
      rejected.
    - Outliers, rows with a flag of :data:`OUTLIER_RULES`, are kept, marked in a bool column ``is_outlier``, or dropped.
    - Null cells of the columns ``forward_fill`` take the last known value of the same symbol. No fill crosses a gap:
      from the observed row to the filled one, no two rows that follow each other lie further apart than ``max_gap``.
      Dropped rows leave such gaps. A bool column ``is_filled`` marks rows with a filled value: they were not observed,
      and :func:`fintrack_tasks.pipeline.save_quote.save_quote` does not store them.

    :param findings: ``row`` being positions of this frame, as :class:`fintrack_tasks.validate.DataValidator` and
        :func:`fintrack_tasks.validate.find_outliers` give them.
    :raises UsageError: when a column to be filled, or ``symbol`` or ``timestamp`` beside it, is missing, or
        ``max_gap`` is.
    """
    _demand(data, forward_fill, max_gap)
    rejected, odd = _rows(findings, len(data))
    drop = rejected | odd if outliers == "drop" else rejected
    cleaned = data[~drop].copy()
    if outliers == "mark":
        cleaned["is_outlier"] = odd[~drop]
    if forward_fill and max_gap is not None:
        cleaned = _filled(cleaned, forward_fill, max_gap)
    return cleaned


def _demand(data: pd.DataFrame, columns: Sequence[str], max_gap: timedelta | None) -> None:
    if not columns:
        return
    if max_gap is None or max_gap <= timedelta(0):
        raise UsageError("forward_fill needs max_gap: how far apart rows may lie and still be neighbours")
    wrong = [name for name in ("symbol", "timestamp", *columns) if list(data.columns).count(name) != 1]
    if wrong:
        raise UsageError(f"forward_fill needs the columns {', '.join(wrong)}, each once")


def _rows(findings: Iterable[Finding], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Where rows are rejected, and where they are outliers."""
    rejected, odd = np.zeros(size, dtype=np.bool_), np.zeros(size, dtype=np.bool_)
    for one in findings:
        if one.severity == REJECT:
            rejected[slice(None) if one.row is None else one.row] = True
        elif one.rule in OUTLIER_RULES and one.row is not None:
            odd[one.row] = True
    return rejected, odd


def _filled(frame: pd.DataFrame, columns: Sequence[str], max_gap: timedelta) -> pd.DataFrame:
    times = pd.to_datetime(frame["timestamp"], utc=True, format="ISO8601", errors="coerce").array.as_unit("us")
    codes, _ = pd.factorize(frame["symbol"])
    alone = times.isna() | (codes < 0)  # such rows have no neighbours
    stamps = np.where(alone, 0, times.asi8)
    order = np.lexsort((stamps, codes))
    # A stretch is a run of one symbol's rows without a gap; values are filled inside it.
    breaks = (
        alone[order][1:]
        | alone[order][:-1]
        | (np.diff(codes[order]) != 0)
        | (np.diff(stamps[order]) > max_gap // timedelta(microseconds=1))
    )
    stretch = np.concatenate([[0], np.cumsum(breaks)]) if len(order) else order
    filled = np.zeros(len(frame), dtype=np.bool_)
    for name in columns:
        place = frame.columns.get_loc(name)
        before = frame.iloc[:, place]
        ordered = before.iloc[order]
        after = ordered.groupby(stretch).ffill()
        invented = (ordered.isna() & after.notna()).to_numpy()
        filled[order[invented]] = True
        values = before.array.copy()
        values[order[invented]] = after.array[invented]
        frame.isetitem(place, values)
    return frame.assign(is_filled=filled)
