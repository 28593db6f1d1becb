"""Transformations: they return new values and do not change their input.

- :func:`clean_batch` and :func:`with_indicators` are the pipeline's, over a :class:`fintrack_tasks.domain.Batch`.
- :class:`DataTransformer` and :func:`clean_market_data` are for a user's DataFrame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fintrack_tasks.transform.batch import clean_batch

if TYPE_CHECKING:
    from fintrack_tasks.transform.frames.clean import clean_market_data
    from fintrack_tasks.transform.frames.transformer import DataTransformer
    from fintrack_tasks.transform.incremental import with_indicators
    from fintrack_tasks.transform.indicators import INDICATORS

__all__ = ["INDICATORS", "DataTransformer", "clean_batch", "clean_market_data", "with_indicators"]

_LAZY = {
    "DataTransformer": "frames.transformer",
    "INDICATORS": "indicators",
    "clean_market_data": "frames.clean",
    "with_indicators": "incremental",
}


def __getattr__(name: str) -> Any:
    # A worker of quotes needs neither pandas nor TA-Lib; an import here would load them in every process.
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # only the first use needs it

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
