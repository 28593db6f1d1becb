"""Technical indicators of a series of closes, by TA-Lib, and of a batch of index bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import talib
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fintrack_tasks.domain import Batch

__all__ = ["INDICATORS", "LOOK_BACK", "TRADING_DAYS", "indicators", "with_indicators"]

INDICATORS: Final = ("sma_20", "sma_50", "rsi_14", "macd", "macd_signal", "macd_histogram", "volatility_20")
"""The names of the columns, in the order of the tables."""

LOOK_BACK: Final = 250
"""Earlier closes that make every value independent of where the series begins, to 1e-7 of the price or better: the
weight that MACD's slowest average (26) gives to what lies before them is (25 / 27) ** 250."""

TRADING_DAYS: Final = 252
"""Sessions of a year, by which volatility is annualised."""

Floats = NDArray[np.float64]


def indicators(close: Floats) -> dict[str, Floats]:
    """The default indicators of closes, oldest first. Each array has the length of ``close``, NaN in its warm-up.

    - ``sma_20``, ``sma_50``: simple moving averages, from row 19 and 49 on.
    - ``rsi_14``: Wilder's relative strength index in [0, 100], from row 14 on.
    - ``macd``, ``macd_signal``, ``macd_histogram``: EMA 12 - EMA 26, its EMA 9, their difference, from row 33 on.
    - ``volatility_20``: sample standard deviation of the last 20 logarithmic returns times sqrt(252), from row 20 on.

    Any length is accepted; what a short series cannot give is NaN. A NaN close makes the values that depend on it NaN.
    """
    close = np.ascontiguousarray(close, dtype=np.float64)
    macd, signal, histogram = talib.MACD(close, fastperiod=12, slowperiod=26, signalperiod=9)
    return {
        "sma_20": talib.SMA(close, timeperiod=20),
        "sma_50": talib.SMA(close, timeperiod=50),
        "rsi_14": talib.RSI(close, timeperiod=14),
        "macd": macd,
        "macd_signal": signal,
        "macd_histogram": histogram,
        "volatility_20": _volatility(close, 20),
    }


def with_indicators(batch: Batch, history: Mapping[str, Sequence[Any]] | None = None) -> Batch:
    """The batch of bars, oldest first, with the columns of :data:`INDICATORS` as decimal text, ``None`` in warm-ups.

    :param history: earlier bars by column, oldest first: ``close`` (numbers or decimal text) and ``timestamp`` in
        microseconds, without which all of them are taken to lie before the batch. Bars at or after the batch's first
        are left out. With :data:`LOOK_BACK` of them the values are those of the whole history.
    """
    earlier = _earlier_closes(batch, history)
    close = np.array([*earlier, *map(_float, batch.columns["close"])], dtype=np.float64)
    return batch.with_columns(
        **{
            name: [_text(value) for value in values[len(earlier) :].tolist()]
            for name, values in indicators(close).items()
        }
    )


def _volatility(close: Floats, periods: int) -> Floats:
    result = np.full(len(close), np.nan)
    if len(close) <= periods:
        return result
    with np.errstate(divide="ignore", invalid="ignore"):  # a close of zero or below has no logarithm: NaN says so
        returns = np.diff(np.log(close))
        deviation = sliding_window_view(returns, periods).std(axis=1, ddof=1)
    result[periods:] = np.where(np.isfinite(deviation), deviation * np.sqrt(TRADING_DAYS), np.nan)
    return result


def _earlier_closes(batch: Batch, history: Mapping[str, Sequence[Any]] | None) -> list[float]:
    if not history or not len(batch):
        return []
    closes = [_float(cell) for cell in history["close"]]
    if "timestamp" not in history:
        return closes
    first = batch.columns["timestamp"][0]
    return [close for stamp, close in zip(history["timestamp"], closes, strict=True) if stamp < first]


def _float(cell: Any) -> float:
    return float("nan") if cell is None else float(cell)


def _text(value: float) -> str | None:
    return repr(value) if np.isfinite(value) else None
