"""Indicators of new bars behind stored ones: equal to those of the whole series, without reading all of it.

A windowed value is made of the last ``INDICATOR_LOOKBACK`` bars alone. A recursion goes on from its own last value and
from :data:`STATE`, which the pipeline keeps beside the indicators, by the same steps as TA-Lib takes over the whole
series.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

import numpy as np

from fintrack_tasks.domain import BENCHMARK, CARRIED_COLUMNS, AssetClass, Batch, Instrument, Interval, Kind
from fintrack_tasks.sessions import session_dates
from fintrack_tasks.transform.indicators import (
    INDICATORS,
    STATE,
    WINDOWED,
    Prices,
    bars_per_year,
    indicators,
    state,
)
from fintrack_tasks.transform.rolling import Floats

__all__ = ["CARRIED", "continued", "with_indicators"]

CARRIED: Final = CARRIED_COLUMNS
"""The columns that have to be known of the bar before the first new one."""

_PRICES: Final = tuple(each.name for each in fields(Prices) if each.name not in ("session", "benchmark"))


def continued(
    prices: Prices,
    first: int,
    carried: Mapping[str, float] | None,
    per_year: int = 252,
    *,
    signed: bool = False,
) -> dict[str, Floats]:
    """:data:`INDICATORS` and :data:`STATE` of the bars from position ``first`` on, as float64 arrays.

    :param prices: the new bars behind the ``INDICATOR_LOOKBACK`` ones before them; every close known.
    :param carried: :data:`CARRIED` of the bar before the first new one; ``None`` when ``prices`` begins with the
        series. Then, and where the look-back reaches to the beginning of the series, everything is computed from there.
    :param signed: see :func:`fintrack_tasks.transform.indicators.indicators`.
    """
    if carried is None or carried["bars_seen"] <= first:
        whole = indicators(prices, per_year, signed=signed) | state(prices)
        return {name: values[first:] for name, values in whole.items()}
    found = indicators(prices, per_year, WINDOWED, signed=signed)
    found |= _recursions(prices, first, carried)
    rows = len(prices) - first
    return {name: found[name][-rows:] if rows else found[name][:0] for name in (*INDICATORS, *STATE)}


def with_indicators(batch: Batch, history: Mapping[str, Any] | None = None) -> Batch:
    """The batch of bars, oldest first, with :data:`INDICATORS` and :data:`STATE` as decimal text, ``None`` in warm-ups.

    :param history: earlier bars by column, oldest first (numbers or decimal text): ``close`` and, as far as known,
        ``timestamp`` (microseconds), ``open``, ``high``, ``low`` and ``volume``. Bars at or after the batch's first are
        left out. ``state`` is :data:`CARRIED` of the newest of them, or ``None`` when the first of them begins the
        series. ``benchmark`` maps times to closes of :data:`BENCHMARK`, which is its own.
    """
    if not len(batch):
        return batch.with_columns(**{name: [] for name in (*INDICATORS, *STATE)})
    earlier = _before(batch, history or {})
    instrument = (
        Instrument.of(batch.symbol, AssetClass.INDEX) if batch.kind is Kind.INDEX else Instrument.of(batch.symbol)
    )
    interval = batch.interval or Interval.D1
    prices = _prices(batch, earlier, instrument, interval, (history or {}).get("benchmark") or {})
    carried = (history or {}).get("state")
    found = continued(
        prices,
        len(earlier["close"]),
        None if carried is None else {name: _float(carried[name]) for name in CARRIED},
        bars_per_year(instrument.asset_class, interval),
        signed=instrument.is_signed,
    )
    return batch.with_columns(**{name: [_text(value) for value in values.tolist()] for name, values in found.items()})


def _before(batch: Batch, history: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The columns of the bars before the batch. Where no times are given each is a microsecond after the one before."""
    closes = list(history.get("close", ()))
    first = int(batch.columns["timestamp"][0])
    stamps = list(history.get("timestamp") or range(first - len(closes), first))
    kept = [place for place, stamp in enumerate(stamps) if stamp < first]
    columns = {name: history.get(name) or [None] * len(closes) for name in _PRICES}
    return {"timestamp": [stamps[i] for i in kept]} | {name: [c[i] for i in kept] for name, c in columns.items()}


def _prices(
    batch: Batch,
    earlier: Mapping[str, Sequence[Any]],
    instrument: Instrument,
    interval: Interval,
    benchmark: Mapping[int, Any],
) -> Prices:
    nothing = [None] * len(batch)
    columns = {name: _floats([*earlier[name], *batch.columns.get(name, nothing)]) for name in _PRICES}
    stamps = [*earlier["timestamp"], *batch.columns["timestamp"]]
    market = columns["close"] if batch.symbol == BENCHMARK else _floats([benchmark.get(stamp) for stamp in stamps])
    session = None if interval is Interval.D1 else np.asarray(session_dates(instrument, stamps), dtype=np.int64)
    return Prices(**columns, benchmark=market, session=session)


def _recursions(prices: Prices, first: int, carried: Mapping[str, float]) -> dict[str, Floats]:
    """The indicators that depend on every bar, continued from the bar before the first new one."""
    close = prices.close[first:].tolist()
    before = prices.close[first - 1 : -1].tolist()
    moves = [after - earlier for earlier, after in zip(before, close, strict=True)]
    columns: dict[str, Iterator[float]] = {
        "bars_seen": iter(range(int(carried["bars_seen"]) + 1, int(carried["bars_seen"]) + 1 + len(close))),
        "ema_12": _exponential(carried["ema_12"], close, 12),
        "ema_26": _exponential(carried["ema_26"], close, 26),
        "macd_fast": _exponential(carried["macd_fast"], close, 12),
        "rsi_gain": _wilder(carried["rsi_gain"], [max(move, 0.0) for move in moves]),
        "rsi_loss": _wilder(carried["rsi_loss"], [max(-move, 0.0) for move in moves]),
        "atr_14": _wilder(carried["atr_14"], _true_ranges(prices, first)),
        "obv": _balance(carried["obv"], moves, prices, first),
    }
    found = {name: np.fromiter(values, np.float64, len(close)) for name, values in columns.items()}
    found["peak"] = np.maximum(np.maximum.accumulate(prices.close[first:]), carried["peak"])
    peak = np.where(found["peak"] > 0, found["peak"], np.nan)
    found["drawdown"] = prices.close[first:] / peak - 1
    found["macd"] = found["macd_fast"] - found["ema_26"]
    signal = _exponential(carried["macd_signal"], found["macd"].tolist(), 9)
    found["macd_signal"] = np.fromiter(signal, np.float64, len(close))
    found["macd_histogram"] = found["macd"] - found["macd_signal"]
    both = found["rsi_gain"] + found["rsi_loss"]
    found["rsi_14"] = np.zeros(len(close))  # TA-Lib's RSI of a price that never moved
    np.divide(100 * found["rsi_gain"], both, out=found["rsi_14"], where=both > _TALIB_ZERO)
    return found


_TALIB_ZERO: Final = 1e-14
"""TA-Lib's ``TA_EPSILON``: a divisor below it counts as zero."""


def _exponential(last: float, values: Sequence[float], length: int) -> Iterator[float]:
    """The exponential average, continued from its last value; weight 2 / (length + 1)."""
    weight = 2.0 / (length + 1)
    for value in values:
        last = (value - last) * weight + last
        yield last


def _wilder(last: float, values: Sequence[float]) -> Iterator[float]:
    """Wilder's average over 14 bars, continued from its last value."""
    for value in values:
        last = (last * 13 + value) / 14
        yield last


def _true_ranges(prices: Prices, first: int) -> list[float]:
    if prices.high is None or prices.low is None:
        return [float("nan")] * (len(prices) - first)
    high, low, before = prices.high[first:], prices.low[first:], prices.close[first - 1 : -1]
    ranges: list[float] = np.maximum.reduce([high - low, np.abs(high - before), np.abs(low - before)]).tolist()
    return ranges


def _balance(last: float, moves: Sequence[float], prices: Prices, first: int) -> Iterator[float]:
    """On-balance volume, continued; it begins with the first known volume, and bars without one do not change it."""
    volumes = [float("nan")] * len(moves) if prices.volume is None else prices.volume[first:].tolist()
    for move, volume in zip(moves, volumes, strict=True):
        if volume == volume:  # noqa: PLR0124  not NaN
            last = volume if last != last else last + (volume if move > 0 else -volume if move < 0 else 0.0)  # noqa: PLR0124
        yield last


def _floats(cells: Sequence[Any]) -> Floats:
    return np.array([_float(cell) for cell in cells], dtype=np.float64)


def _float(cell: Any) -> float:
    return float("nan") if cell is None else float(cell)


def _text(value: float) -> str | None:
    return repr(value) if np.isfinite(value) else None
