"""The formulas of the indicators, one function each over :class:`Prices`: TA-Lib where it has one, else numpy.

Which of them are computed, under which names, is decided in :mod:`fintrack_tasks.transform.indicators`. Every function
takes the bars, oldest first, and how many of them make a year, and returns float64 arrays of the bars' length. A value
is NaN until its window is full, and where a price that it needs is not known. Windows count bars.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import talib

from fintrack_tasks.transform.rolling import Floats, deviation, mean, quantile, total

__all__ = [
    "INDICATOR_LOOKBACK",
    "Prices",
    "against_benchmark",
    "average_true_range",
    "bollinger_bands",
    "changes",
    "drawdown",
    "exponential_averages",
    "lagged",
    "macd",
    "on_balance_volume",
    "range_volatility",
    "risk",
    "rsi",
    "simple_averages",
    "volatility",
    "vwap",
]

RISK_WINDOW: Final = 252
BENCHMARK_WINDOW: Final = 60

INDICATOR_LOOKBACK: Final = RISK_WINDOW
"""How many earlier bars every windowed value of a new bar depends on: 252 returns need the 252 closes before it."""


@dataclass(frozen=True, slots=True)
class Prices:
    """The bars of one instrument as float64 arrays of one length, oldest first.

    A column that is not known is ``None``, a single value that is not known is NaN.

    :param benchmark: the close of the benchmark index at each bar's time.
    :param session: int64, the same value for all bars of one session; ``None`` for daily bars, which have no VWAP.
    """

    close: Floats
    open: Floats | None = None
    high: Floats | None = None
    low: Floats | None = None
    volume: Floats | None = None
    benchmark: Floats | None = None
    session: np.ndarray[tuple[int], np.dtype[np.int64]] | None = None

    def __len__(self) -> int:
        return len(self.close)

    def take(self, rows: slice | np.ndarray[tuple[int], np.dtype[np.bool_ | np.int64]]) -> Prices:
        """The bars at these positions, or those that a mask chooses."""
        held = {each.name: getattr(self, each.name) for each in fields(self)}
        taken: dict[str, Any] = {name: None if array is None else array[rows] for name, array in held.items()}
        return Prices(**taken)


def changes(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    """Absolute change, simple return and log return against the close before."""
    change = lagged(np.subtract, prices.close)
    return change, _returns(prices.close), _log_returns(prices.close)


def simple_averages(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    """TA-Lib ``SMA``."""
    return tuple(talib.SMA(prices.close, length) for length in (20, 50, 200))


def exponential_averages(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    """TA-Lib ``EMA``."""
    return talib.EMA(prices.close, 12), talib.EMA(prices.close, 26)


def rsi(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    """TA-Lib ``RSI`` (Wilder 1978)."""
    return (talib.RSI(prices.close, 14),)


def macd(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    """TA-Lib ``MACD`` 12, 26, 9."""
    return tuple(talib.MACD(prices.close, 12, 26, 9))


def bollinger_bands(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    """TA-Lib ``BBANDS`` 20, 2, 2; the middle band is ``sma_20``."""
    upper, _, lower = talib.BBANDS(prices.close, 20, 2.0, 2.0)
    return upper, lower


def average_true_range(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    """TA-Lib ``ATR`` (Wilder 1978), up to the first bar whose high or low is not known."""
    result = np.full(len(prices), np.nan)
    if prices.high is not None and prices.low is not None:
        unknown = np.isnan(prices.high) | np.isnan(prices.low)
        end = int(unknown.argmax()) if unknown.any() else len(prices)
        result[:end] = talib.ATR(prices.high[:end], prices.low[:end], prices.close[:end], 14)
    return (result,)


def vwap(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    """sum((H + L + C) / 3 x volume) / sum(volume) since the session's first bar; NaN while the volume is zero."""
    result = np.full(len(prices), np.nan)
    if prices.session is None or prices.high is None or prices.low is None or prices.volume is None:
        return (result,)
    money = (prices.high + prices.low + prices.close) / 3 * prices.volume
    bounds = np.flatnonzero(np.diff(prices.session)) + 1
    for first, last in zip([0, *bounds.tolist()], [*bounds.tolist(), len(prices)], strict=True):
        volume = np.cumsum(prices.volume[first:last])
        np.divide(np.cumsum(money[first:last]), volume, out=result[first:last], where=volume > 0)
    return (result,)


def on_balance_volume(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    """TA-Lib ``OBV`` from the first known volume on; bars without one leave the sum unchanged."""
    result = np.full(len(prices), np.nan)
    if prices.volume is not None:
        known = np.isfinite(prices.volume)
        if known.any():
            first = int(known.argmax())
            volume = np.where(known, prices.volume, 0.0)
            result[first:] = talib.OBV(prices.close[first:], volume[first:])
    return (result,)


def volatility(prices: Prices, per_year: int) -> tuple[Floats, ...]:
    """The annualised sample standard deviation of 20 log returns."""
    return (deviation(_log_returns(prices.close), 20) * np.sqrt(per_year),)


def range_volatility(prices: Prices, per_year: int) -> tuple[Floats, ...]:
    """Annualised volatility from ranges: Parkinson 1980, Garman and Klass 1980, over 20 bars.

    A price that is not above zero has no logarithm: its windows are NaN.
    """
    nothing = np.full(len(prices), np.nan)
    if prices.high is None or prices.low is None:
        return nothing, nothing
    with np.errstate(divide="ignore", invalid="ignore"):
        ranges = np.log(_positive(prices.high) / _positive(prices.low)) ** 2
        parkinson = _root(mean(ranges, 20) / (4 * np.log(2)) * per_year)
        if prices.open is None:
            return parkinson, nothing
        inside = np.log(_positive(prices.close) / _positive(prices.open)) ** 2
    return parkinson, _root(mean(0.5 * ranges - (2 * np.log(2) - 1) * inside, 20) * per_year)


def drawdown(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    """The fraction by which the close lies below the highest close so far, zero or negative."""
    peak = np.maximum.accumulate(prices.close)
    return (prices.close / _positive(peak) - 1,)


def against_benchmark(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    """Beta and Pearson correlation over the last 60 returns between bars that instrument and benchmark both have.

    Beta is the sample covariance over the benchmark's variance. NaN where these bars reach back further than
    :data:`INDICATOR_LOOKBACK`, where the benchmark did not move and, for the correlation, where either did not.
    """
    beta, correlation = np.full(len(prices), np.nan), np.full(len(prices), np.nan)
    if prices.benchmark is None:
        return beta, correlation
    common = np.flatnonzero(np.isfinite(prices.benchmark) & (prices.benchmark > 0))
    if len(common) <= BENCHMARK_WINDOW:
        return beta, correlation
    own, market = _returns(prices.close[common]), _returns(prices.benchmark[common])
    spread, market_spread = deviation(own, BENCHMARK_WINDOW), deviation(market, BENCHMARK_WINDOW)
    products = total(own * market, BENCHMARK_WINDOW) - mean(own, BENCHMARK_WINDOW) * total(market, BENCHMARK_WINDOW)
    covariance = products / (BENCHMARK_WINDOW - 1)
    near = np.full(len(common), fill_value=False)
    near[BENCHMARK_WINDOW:] = common[BENCHMARK_WINDOW:] - common[:-BENCHMARK_WINDOW] <= INDICATOR_LOOKBACK
    moved = near & (market_spread > 0)
    beta[common[moved]] = covariance[moved] / market_spread[moved] ** 2
    moved &= spread > 0
    correlation[common[moved]] = np.clip(covariance[moved] / (spread[moved] * market_spread[moved]), -1.0, 1.0)
    return beta, correlation


def risk(prices: Prices, per_year: int) -> tuple[Floats, ...]:
    """Annualised Sharpe ratio with a riskless rate of zero, and historical 95% value at risk as a positive fraction."""
    returns = _returns(prices.close)
    spread = deviation(returns, RISK_WINDOW)
    sharpe = np.full(len(prices), np.nan)
    np.divide(mean(returns, RISK_WINDOW) * np.sqrt(per_year), spread, out=sharpe, where=spread > 0)
    return sharpe, -quantile(returns, RISK_WINDOW, 0.05)


def lagged(function: Callable[[Floats, Floats], Floats], values: Floats) -> Floats:
    """``function`` of each value and the one before it; NaN for the first."""
    result = np.full(len(values), np.nan)
    result[1:] = function(values[1:], values[:-1])
    return result


def _returns(close: Floats) -> Floats:
    return lagged(lambda after, before: after / _positive(before) - 1, close)


def _log_returns(close: Floats) -> Floats:
    return lagged(lambda after, before: np.log(_positive(after) / _positive(before)), close)


def _positive(values: Floats) -> Floats:
    """The values above zero, NaN for the others, of which there is neither a fraction nor a logarithm."""
    return np.where(values > 0, values, np.nan)


def _root(values: Floats) -> Floats:
    """The square root; NaN where the estimate of the variance is negative."""
    return np.sqrt(np.where(values >= 0, values, np.nan))
