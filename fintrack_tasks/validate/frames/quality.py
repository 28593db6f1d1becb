"""Five quality metrics of a user's DataFrame, measured by itself: :class:`DataQualityMonitor`.

Those of an instrument after a run, measured by its calendar, are in :mod:`fintrack_tasks.validate.quality`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fintrack_tasks.domain import Finding, to_micros
from fintrack_tasks.validate.frames.columns import Table, read_table
from fintrack_tasks.validate.frames.validator import REQUIRED, frame_findings
from fintrack_tasks.validate.rules import Limits

__all__ = ["DataQualityMonitor", "QualityMetrics"]

_OHLC = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True)
class QualityMetrics:
    """Five shares in [0, 1], 1.0 the best; all 0.0 for a frame without rows. The formulas are those of
    :meth:`DataQualityMonitor.calculate_quality_metrics`."""

    completeness: float
    accuracy: float
    consistency: float
    timeliness: float
    validity: float


class DataQualityMonitor:
    """Measures frames of quotes or bars with the columns ``symbol``, ``timestamp``, ``price``, ``volume``.

    A frame is measured by itself. What a run left of an instrument is measured by its calendar and by the findings on
    its rows: :func:`fintrack_tasks.validate.quality.measure`.

    :param now: the caller's clock, aware; without it the newest time of the frame.
    :param max_age: the age up to which a symbol's newest row is timely.
    """

    def __init__(
        self, now: datetime | None = None, max_age: timedelta = timedelta(days=1), limits: Limits | None = None
    ) -> None:
        if max_age <= timedelta(0):
            raise ValueError(f"max_age has to be above zero, not {max_age}")
        self._now = now
        self._max_age = max_age
        self._limits = limits or Limits()

    def calculate_quality_metrics(self, data: pd.DataFrame, now: datetime | None = None) -> QualityMetrics:
        """The five metrics of a frame. Never raises for what a frame may hold.

        With n rows, each in [0, 1]:

        - completeness = non-null cells / all cells, over every column of the frame.
        - accuracy = rows without a finding of ``value_ranges`` / n: prices above zero and finite, volumes at least
          zero or unknown. 0.0 without a price column.
        - consistency = rows that contradict no other row and not themselves / n: no repeat of an earlier row's symbol
          and time, and low <= open, close <= high where the frame has these four.
        - timeliness = mean over symbols of min(1, max_age / age of the symbol's newest row); times after ``now`` have
          the age 0. 0.0 for a symbol without a readable time.
        - validity = cells of the required columns that are there and of the right type or null / (4 n).

        :param now: takes the place of the constructor's.
        """
        if not len(data) or not len(data.columns):
            return QualityMetrics(0.0, 0.0, 0.0, 0.0, 0.0)
        moment = now or self._now
        cells = read_table(data, (*REQUIRED, *_OHLC))
        required = Table(cells.size, {name: cells.columns[name] for name in REQUIRED if name in cells.columns})
        findings = frame_findings(required, self._limits.span(moment, None))
        return QualityMetrics(
            completeness=float(data.notna().to_numpy().sum() / data.size),
            accuracy=_share_without(findings, "value_ranges", cells.size) if "price" in cells.present else 0.0,
            consistency=_consistency(cells, findings),
            timeliness=_timeliness(cells, None if moment is None else to_micros(moment), self._max_age),
            validity=_validity(required),
        )


def _share_without(findings: Sequence[Finding], rule: str, size: int) -> float:
    return 1.0 - len({one.row for one in findings if one.rule == rule and one.row is not None}) / size


def _consistency(cells: Table, findings: Sequence[Finding]) -> float:
    wrong = np.zeros(cells.size, dtype=np.bool_)
    wrong[[one.row for one in findings if one.rule == "duplicates" and one.row is not None]] = True
    if set(_OHLC) <= cells.present:
        opening, high, low, close = (cells.columns[name].values for name in _OHLC)
        # Comparisons with NaN are false, so that unknown cells contradict nothing: completeness counts them.
        wrong |= (np.minimum(opening, close) < low) | (np.maximum(opening, close) > high) | (low > high)
    return float(1.0 - wrong.mean())


def _timeliness(cells: Table, now: int | None, max_age: timedelta) -> float:
    if cells.symbols is None or cells.times is None:
        return 0.0
    known = cells.times.fine & cells.symbols.fine
    if not known.any():
        return 0.0
    stamps: NDArray[np.int64] = cells.times.values
    newest = pd.Series(stamps[known]).groupby(cells.symbols.values[known]).max()
    reference = int(newest.max()) if now is None else now
    age = np.maximum(reference - newest.to_numpy(dtype=np.float64), 0.0)
    limit = max_age / timedelta(microseconds=1)
    symbols = len(set(cells.symbols.values[cells.symbols.fine]))
    return float(np.where(age <= limit, 1.0, limit / np.maximum(age, limit)).sum() / symbols)


def _validity(required: Table) -> float:
    right = sum(int((column.fine | column.null).sum()) for column in required.columns.values())
    return right / (len(REQUIRED) * required.size)
