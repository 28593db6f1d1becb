"""Checks. They return findings with a rule's name and the row's position; they do not raise, log or drop rows.

- :func:`check_batch` and :func:`split` are the pipeline's, over a :class:`fintrack_tasks.domain.Batch`. What some rules
  need beside the batch (trading sessions, prior bars, splits) is a :class:`ValidationContext`, gathered by the caller.
- :class:`DataValidator` (quotes and bars), :func:`find_outliers` and :class:`DataQualityMonitor` are for a user's
  DataFrame.

The rules and their thresholds are in :mod:`fintrack_tasks.validate.rules`. Whether a row by itself is right is decided
in one place for batches and frames, :func:`fintrack_tasks.validate.row.check_row`.
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
    # Workers check batches without pandas, which takes some 60 MB of each process.
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # only the first use of a frame's class needs it

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
