"""Indicators of one instrument's bars. TA-Lib computes what it knows; numpy the rest.

Every function takes arrays, oldest bar first, and gives arrays of the same length with NaN where the window is not
full yet or what it needs is not known: a warm-up is never guessed. Windows count bars.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import talib

from fintrack_tasks.domain import INDICATOR_COLUMNS, STATE_COLUMNS, AssetClass, Interval
from fintrack_tasks.transform.rolling import Floats, deviation, mean, quantile, total

__all__ = ["INDICATORS", "INDICATOR_LOOKBACK", "STATE", "WINDOWED", "Prices", "bars_per_year", "indicators", "state"]

RISK_WINDOW: Final = 252
MARKET_WINDOW: Final = 60

INDICATOR_LOOKBACK: Final = RISK_WINDOW
"""Earlier bars that every windowed value of a new bar is made of: 252 returns need the 252 closes before it."""

_DAYS: Final = dict.fromkeys(AssetClass, 252) | {AssetClass.CRYPTO: 365, AssetClass.FOREX: 260}
_ALL_DAY: Final = {AssetClass.CRYPTO: 24, AssetClass.FOREX: 24, AssetClass.COMMODITY: 23}
_BARS: Final = {
    Interval.D1: dict.fromkeys(AssetClass, 1),
    # A session of New York has six and a half hours, its last hourly bar is half a one.
    Interval.H1: dict.fromkeys(AssetClass, 7) | _ALL_DAY,
    Interval.M15: dict.fromkeys(AssetClass, 26) | {kind: 4 * hours for kind, hours in _ALL_DAY.items()},
}


def bars_per_year(asset_class: AssetClass, interval: Interval) -> int:
    """By which volatility and Sharpe ratio are annualised."""
    return _DAYS[asset_class] * _BARS[interval][asset_class]


@dataclass(frozen=True, slots=True)
class Prices:
    """Arrays of one length, oldest first; ``None`` or NaN where a value is not known.

    :param benchmark: the close of the index at each bar's time.
    :param session: a number that is the same for the bars of one session; ``None`` for daily bars, which have no VWAP.
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
        """The bars at these places."""
        held = {each.name: getattr(self, each.name) for each in fields(self)}
        taken: dict[str, Any] = {name: None if array is None else array[rows] for name, array in held.items()}
        return Prices(**taken)


def indicators(
    prices: Prices, per_year: int = 252, names: Collection[str] | None = None, *, signed: bool = False
) -> dict[str, Floats]:
    """The indicators with these names, in the order of :data:`INDICATORS`; all of them by default.

    ===========================================  ====================================================================
    ``change`` ``change_pct`` ``log_change``     against the close before; a fraction of it; the logarithm of the ratio
    ``sma_20`` ``sma_50`` ``sma_200``            simple moving averages of closes
    ``ema_12`` ``ema_26``                        exponential ones, weight 2 / (n + 1), begun with the mean of the first
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
    ``beta_60`` ``correlation_60``               of 60 changes against the benchmark's; see :func:`_against_market`
    ``sharpe_252``                               mean / sample deviation of 252 changes x sqrt(per_year), riskless 0
    ``var_95_252``                               historical value at risk: minus the 5% quantile of 252 changes
    ===========================================  ====================================================================

    A bar without a finite close is no part of the series: its values are NaN, its neighbours are neighbours; so is one
    of a zero or negative close, but where ``signed`` says that prices may be that. Then what is a fraction of such a
    close, or a logarithm of it, is NaN: ``change_pct``, ``log_change`` and all that windows make of them, and the
    drawdown from a peak that is not above zero.

    :param per_year: bars of a year, see :func:`bars_per_year`.
    """
    wanted = set(INDICATORS if names is None else names)
    known = np.isfinite(prices.close) & ((prices.close > 0) | signed)
    series = prices if known.all() else prices.take(known)
    found: dict[str, Floats] = {}
    for made, function in _FAMILIES.items():
        if wanted.intersection(made):
            found |= zip(made, function(series, per_year), strict=True)
    chosen = {name: found[name] for name in INDICATORS if name in wanted}
    return chosen if series is prices else {name: _spread(values, known) for name, values in chosen.items()}


def state(prices: Prices) -> dict[str, Floats]:
    """What a recursion needs beside its own last value to go on after each bar; see :data:`STATE`.

    The averages of gains and losses are TA-Lib's own Wilder average, its ATR, of bars that reach from 0 to the gain.
    """
    close, nothing = prices.close, np.zeros(len(prices))
    move = _lagged(np.subtract, close)
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


STATE: Final = STATE_COLUMNS
"""Bars so far, averages of gains and losses, MACD's fast average (it begins with other closes than ``ema_12``), and
the highest close. The other recursions (EMA, signal, ATR, OBV) go on from their own values."""


def _changes(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    change = _lagged(np.subtract, prices.close)
    return change, _returns(prices.close), _log_returns(prices.close)


def _averages(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    return tuple(talib.SMA(prices.close, length) for length in (20, 50, 200))


def _exponential(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    return talib.EMA(prices.close, 12), talib.EMA(prices.close, 26)


def _rsi(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    return (talib.RSI(prices.close, 14),)


def _macd(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    return tuple(talib.MACD(prices.close, 12, 26, 9))


def _bollinger(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    upper, _, lower = talib.BBANDS(prices.close, 20, 2.0, 2.0)
    return upper, lower


def _atr(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    result = np.full(len(prices), np.nan)
    if prices.high is not None and prices.low is not None:
        unknown = np.isnan(prices.high) | np.isnan(prices.low)
        end = int(unknown.argmax()) if unknown.any() else len(prices)
        result[:end] = talib.ATR(prices.high[:end], prices.low[:end], prices.close[:end], 14)
    return (result,)


def _vwap(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    result = np.full(len(prices), np.nan)
    if prices.session is None or prices.high is None or prices.low is None or prices.volume is None:
        return (result,)
    money = (prices.high + prices.low + prices.close) / 3 * prices.volume
    bounds = np.flatnonzero(np.diff(prices.session)) + 1
    for first, last in zip([0, *bounds.tolist()], [*bounds.tolist(), len(prices)], strict=True):
        volume = np.cumsum(prices.volume[first:last])
        np.divide(np.cumsum(money[first:last]), volume, out=result[first:last], where=volume > 0)
    return (result,)


def _obv(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    """Bars without a known volume leave the sum as it is."""
    result = np.full(len(prices), np.nan)
    if prices.volume is not None:
        known = np.isfinite(prices.volume)
        if known.any():
            first = int(known.argmax())
            volume = np.where(known, prices.volume, 0.0)
            result[first:] = talib.OBV(prices.close[first:], volume[first:])
    return (result,)


def _volatility(prices: Prices, per_year: int) -> tuple[Floats, ...]:
    return (deviation(_log_returns(prices.close), 20) * np.sqrt(per_year),)


def _ranges(prices: Prices, per_year: int) -> tuple[Floats, ...]:
    nothing = np.full(len(prices), np.nan)
    if prices.high is None or prices.low is None:
        return nothing, nothing
    with np.errstate(divide="ignore", invalid="ignore"):  # what is not positive has no logarithm: unknown
        ranges = np.log(_positive(prices.high) / _positive(prices.low)) ** 2
        parkinson = _root(mean(ranges, 20) / (4 * np.log(2)) * per_year)
        if prices.open is None:
            return parkinson, nothing
        inside = np.log(_positive(prices.close) / _positive(prices.open)) ** 2
    return parkinson, _root(mean(0.5 * ranges - (2 * np.log(2) - 1) * inside, 20) * per_year)


def _drawdown(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    peak = np.maximum.accumulate(prices.close)
    return (prices.close / _positive(peak) - 1,)


def _against_market(prices: Prices, _per_year: int) -> tuple[Floats, ...]:
    """Over the last 60 changes between bars that both have, as far as these lie within :data:`INDICATOR_LOOKBACK` bars.

    Beta is their covariance over the benchmark's variance; nothing where the benchmark, or for the correlation either
    of the two, did not move.
    """
    beta, correlation = np.full(len(prices), np.nan), np.full(len(prices), np.nan)
    if prices.benchmark is None:
        return beta, correlation
    common = np.flatnonzero(np.isfinite(prices.benchmark) & (prices.benchmark > 0))
    if len(common) <= MARKET_WINDOW:
        return beta, correlation
    own, market = _returns(prices.close[common]), _returns(prices.benchmark[common])
    spread, market_spread = deviation(own, MARKET_WINDOW), deviation(market, MARKET_WINDOW)
    products = total(own * market, MARKET_WINDOW) - mean(own, MARKET_WINDOW) * total(market, MARKET_WINDOW)
    covariance = products / (MARKET_WINDOW - 1)
    near = np.full(len(common), fill_value=False)
    near[MARKET_WINDOW:] = common[MARKET_WINDOW:] - common[:-MARKET_WINDOW] <= INDICATOR_LOOKBACK
    moved = near & (market_spread > 0)
    beta[common[moved]] = covariance[moved] / market_spread[moved] ** 2
    moved &= spread > 0
    correlation[common[moved]] = np.clip(covariance[moved] / (spread[moved] * market_spread[moved]), -1.0, 1.0)
    return beta, correlation


def _risk(prices: Prices, per_year: int) -> tuple[Floats, ...]:
    returns = _returns(prices.close)
    spread = deviation(returns, RISK_WINDOW)
    sharpe = np.full(len(prices), np.nan)
    np.divide(mean(returns, RISK_WINDOW) * np.sqrt(per_year), spread, out=sharpe, where=spread > 0)
    return sharpe, -quantile(returns, RISK_WINDOW, 0.05)


_FAMILIES: Final[Mapping[tuple[str, ...], Callable[[Prices, int], tuple[Floats, ...]]]] = {
    ("change", "change_pct", "log_change"): _changes,
    ("sma_20", "sma_50", "sma_200"): _averages,
    ("ema_12", "ema_26"): _exponential,
    ("rsi_14",): _rsi,
    ("macd", "macd_signal", "macd_histogram"): _macd,
    ("bollinger_upper", "bollinger_lower"): _bollinger,
    ("atr_14",): _atr,
    ("vwap",): _vwap,
    ("obv",): _obv,
    ("volatility_20",): _volatility,
    ("parkinson_20", "garman_klass_20"): _ranges,
    ("drawdown",): _drawdown,
    ("beta_60", "correlation_60"): _against_market,
    ("sharpe_252", "var_95_252"): _risk,
}

INDICATORS: Final = INDICATOR_COLUMNS
"""The names of all indicators, in the order of the tables."""

_RECURSIVE: Final = {
    "ema_12", "ema_26", "rsi_14", "macd", "macd_signal", "macd_histogram", "atr_14", "obv", "drawdown",
}  # fmt: skip

WINDOWED: Final = tuple(name for name in INDICATORS if name not in _RECURSIVE)
"""Those that :data:`INDICATOR_LOOKBACK` earlier bars determine; the others depend on every bar since the first."""


def _lagged(function: Callable[[Floats, Floats], Floats], values: Floats) -> Floats:
    """``function`` of each value and the one before it; NaN for the first."""
    result = np.full(len(values), np.nan)
    result[1:] = function(values[1:], values[:-1])
    return result


def _returns(close: Floats) -> Floats:
    return _lagged(lambda after, before: after / _positive(before) - 1, close)


def _log_returns(close: Floats) -> Floats:
    return _lagged(lambda after, before: np.log(_positive(after) / _positive(before)), close)


def _positive(values: Floats) -> Floats:
    """The values above zero, NaN for the others: nothing is a fraction of them, and they have no logarithm."""
    return np.where(values > 0, values, np.nan)


def _root(values: Floats) -> Floats:
    """NaN for what is negative: the estimate says nothing there."""
    return np.sqrt(np.where(values >= 0, values, np.nan))


def _spread(values: Floats, known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Floats:
    result = np.full(len(known), np.nan)
    result[known] = values
    return result
