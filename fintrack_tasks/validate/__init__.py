"""Checks. They return findings with a rule's name and the row's position; they never raise, log or drop.

- :func:`check_batch` and :func:`split` serve the pipeline, over a :class:`fintrack_tasks.domain.Batch`. What some rules
  must know beside it (the calendar, earlier bars, splits) is a :class:`ValidationContext` that the caller gives.
- :class:`DataValidator` (of quotes and of bars), :func:`find_outliers` and :class:`DataQualityMonitor` serve people,
  over a DataFrame.

All of them take their verdict on a row from one function, :func:`fintrack_tasks.validate.row.check_row`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fintrack_tasks.validate.batch import check_batch, split
from fintrack_tasks.validate.context import OtherProviderBars, PriorBars, ValidationContext
from fintrack_tasks.validate.rules import RULES, Limits, Rule

if TYPE_CHECKING:
    from fintrack_tasks.validate.frames.outliers import find_outliers
    from fintrack_tasks.validate.frames.quality import DataQualityMonitor, QualityMetrics
    from fintrack_tasks.validate.frames.validator import CheckResult, DataValidator, ValidationResult

__all__ = [
    "RULES",
    "CheckResult",
    "DataQualityMonitor",
    "DataValidator",
    "Limits",
    "OtherProviderBars",
    "PriorBars",
    "QualityMetrics",
    "Rule",
    "ValidationContext",
    "ValidationResult",
    "check_batch",
    "find_outliers",
    "split",
]

_LAZY = {
    "CheckResult": "frames.validator",
    "DataValidator": "frames.validator",
    "ValidationResult": "frames.validator",
    "DataQualityMonitor": "frames.quality",
    "QualityMetrics": "frames.quality",
    "find_outliers": "frames.outliers",
}


def __getattr__(name: str) -> Any:
    # The workers check batches without pandas: importing it here would cost each of their processes some 60 MB.
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # only the first use of a frame's class needs it

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
