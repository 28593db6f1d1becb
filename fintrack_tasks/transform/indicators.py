"""Which indicators there are, and all of them for one instrument's whole series of bars.

The formulas are in :mod:`fintrack_tasks.transform.indicator_formulas`; indicators of new bars behind stored ones in
:mod:`fintrack_tasks.transform.incremental`.

===========================================  ====================================================================
``change`` ``change_pct`` ``log_change``     against the close before; a fraction of it; the logarithm of the ratio
``sma_20`` ``sma_50`` ``sma_200``            simple moving averages of closes
``ema_12`` ``ema_26``                        exponential ones, weight 2 / (n + 1), begun with the mean of n closes
``rsi_14``                                   Wilder's relative strength index, 0 to 100; TA-Lib's 0 without any move
``macd`` ``macd_signal`` ``macd_histogram``  EMA 12 - EMA 26 (both begun at the 26th close), its EMA 9, difference
``bollinger_upper`` ``bollinger_lower``      sma_20 +- 2 population standard deviations of the same 20 closes
``atr_14``                                   Wilder's average true range; unknown from the first bar without a range
``vwap``                                     since the session's open: sum((H + L + C) / 3 x volume) / sum(volume)
``obv``                                      on-balance volume since the first known volume
``volatility_20``                            sample deviation of 20 log changes x sqrt(per_year)
``parkinson_20``                             sqrt(mean(ln(H/L)^2) / (4 ln 2) x per_year)  (Parkinson 1980)
``garman_klass_20``                          sqrt(mean(ln(H/L)^2 / 2 - (2 ln 2 - 1) ln(C/O)^2) x per_year)  (1980)
``drawdown``                                 close / highest close so far - 1
``beta_60`` ``correlation_60``               of 60 changes against the benchmark's; see :func:`.against_benchmark`
``sharpe_252``                               mean / sample deviation of 252 changes x sqrt(per_year), riskless 0
``var_95_252``                               historical value at risk: minus the 5% quantile of 252 changes
===========================================  ====================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

import numpy as np
import talib

from fintrack_tasks.domain import INDICATOR_COLUMNS, STATE_COLUMNS, AssetClass, Interval
from fintrack_tasks.transform import indicator_formulas
from fintrack_tasks.transform.indicator_formulas import INDICATOR_LOOKBACK, Prices
from fintrack_tasks.transform.rolling import Floats

__all__ = ["INDICATORS", "INDICATOR_LOOKBACK", "STATE", "WINDOWED", "Prices", "bars_per_year", "indicators", "state"]

INDICATORS: Final = INDICATOR_COLUMNS
"""The names of all indicators, in the order of the tables."""

STATE: Final = STATE_COLUMNS
"""The number of bars so far, the averages of gains and losses, MACD's fast average (it begins with other closes than
``ema_12``) and the highest close. The other recursions (EMA, signal, ATR, OBV) continue from their own values."""

_RECURSIVE: Final = {
    "ema_12", "ema_26", "rsi_14", "macd", "macd_signal", "macd_histogram", "atr_14", "obv", "drawdown",
}  # fmt: skip

WINDOWED: Final = tuple(name for name in INDICATORS if name not in _RECURSIVE)
"""Indicators that :data:`INDICATOR_LOOKBACK` earlier bars determine; the others depend on every bar since the first."""

_FAMILIES: Final[Mapping[tuple[str, ...], Callable[[Prices, int], tuple[Floats, ...]]]] = {
    ("change", "change_pct", "log_change"): indicator_formulas.changes,
    ("sma_20", "sma_50", "sma_200"): indicator_formulas.simple_averages,
    ("ema_12", "ema_26"): indicator_formulas.exponential_averages,
    ("rsi_14",): indicator_formulas.rsi,
    ("macd", "macd_signal", "macd_histogram"): indicator_formulas.macd,
    ("bollinger_upper", "bollinger_lower"): indicator_formulas.bollinger_bands,
    ("atr_14",): indicator_formulas.average_true_range,
    ("vwap",): indicator_formulas.vwap,
    ("obv",): indicator_formulas.on_balance_volume,
    ("volatility_20",): indicator_formulas.volatility,
    ("parkinson_20", "garman_klass_20"): indicator_formulas.range_volatility,
    ("drawdown",): indicator_formulas.drawdown,
    ("beta_60", "correlation_60"): indicator_formulas.against_benchmark,
    ("sharpe_252", "var_95_252"): indicator_formulas.risk,
}

_DAYS: Final = dict.fromkeys(AssetClass, 252) | {AssetClass.CRYPTO: 365, AssetClass.FOREX: 260}
_ALL_DAY: Final = {AssetClass.CRYPTO: 24, AssetClass.FOREX: 24, AssetClass.COMMODITY: 23}
_BARS: Final = {
    Interval.D1: dict.fromkeys(AssetClass, 1),
    # A session of New York has six and a half hours, its last hourly bar is half a one.
    Interval.H1: dict.fromkeys(AssetClass, 7) | _ALL_DAY,
    Interval.M15: dict.fromkeys(AssetClass, 26) | {kind: 4 * hours for kind, hours in _ALL_DAY.items()},
}


def bars_per_year(asset_class: AssetClass, interval: Interval) -> int:
    """How many bars of this length a year has: volatility and Sharpe ratio are annualised by its square root."""
    return _DAYS[asset_class] * _BARS[interval][asset_class]


def indicators(
    prices: Prices, per_year: int = 252, names: Collection[str] | None = None, *, signed: bool = False
) -> dict[str, Floats]:
    """The indicators with these names, in the order of :data:`INDICATORS`; all of them by default.

    Each is a float64 array of the bars' length, NaN in its warm-up and where what it needs is not known.

    A bar without a finite close is skipped: its values are NaN, and the bars on either side of it count as neighbours.
    So is one whose close is zero or negative, unless ``signed``. Returns are fractions: 0.01 is one percent.

    :param per_year: bars of a year, see :func:`bars_per_year`.
    :param signed: prices may be zero or negative. A fraction or logarithm of such a close is NaN: ``change_pct``,
        ``log_change``, what windows make of them, and the drawdown from a peak that is not above zero.
    """
    wanted = set(INDICATORS if names is None else names)
    known = np.isfinite(prices.close) & ((prices.close > 0) | signed)
    series = prices if known.all() else prices.take(known)
    found: dict[str, Floats] = {}
    for made, formula in _FAMILIES.items():
        if wanted.intersection(made):
            found |= zip(made, formula(series, per_year), strict=True)
    chosen = {name: found[name] for name in INDICATORS if name in wanted}
    return chosen if series is prices else {name: _spread(values, known) for name, values in chosen.items()}


def state(prices: Prices) -> dict[str, Floats]:
    """:data:`STATE` after each bar: what a recursive indicator needs beside its own last value to be continued.

    TA-Lib's ``RSI`` does not give its averages of gains and losses. Its ``ATR`` of bars that reach from 0 to the gain
    is the same Wilder average.
    """
    close, nothing = prices.close, np.zeros(len(prices))
    move = indicator_formulas.lagged(np.subtract, close)
    move[:1] = 0.0
    fast = np.full(len(close), np.nan)
    fast[14:] = talib.EMA(close[14:], 12)
    return {
        "bars_seen": np.arange(1.0, len(close) + 1),
        "rsi_gain": talib.ATR(np.maximum(move, 0.0), nothing, nothing, 14),
        "rsi_loss": talib.ATR(np.maximum(-move, 0.0), nothing, nothing, 14),
        "macd_fast": fast,
        "peak": np.maximum.accumulate(close),
    }


def _spread(values: Floats, known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Floats:
    result = np.full(len(known), np.nan)
    result[known] = values
    return result
