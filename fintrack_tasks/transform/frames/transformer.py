"""Derived columns and indicators of a user's DataFrame: :class:`DataTransformer`.

Indicators of the pipeline's batches are in :mod:`fintrack_tasks.transform.incremental`.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

import numpy as np
import pandas as pd

from fintrack_tasks.domain import AssetClass
from fintrack_tasks.errors import UsageError
from fintrack_tasks.transform.indicators import INDICATORS, Prices, indicators
from fintrack_tasks.transform.rolling import Floats

__all__ = ["DERIVED", "REQUIRED", "DataTransformer"]

REQUIRED = ("symbol", "timestamp", "price")
DERIVED = ("price_change", "price_change_pct", "sma_20", "sma_50")


class DataTransformer:
    """Transforms frames of quotes (:meth:`transform_market_data`) and of bars (:meth:`enrich`). It has no state."""

    def transform_market_data(self, data: pd.DataFrame) -> pd.DataFrame:
        """A new frame with lower-case columns, UTC timestamps and the columns of :data:`DERIVED`.

        Rows and index keep the order of the input, which is not changed. The derived columns are float64, computed in
        the order of time within each symbol:

        - ``price_change``: price minus the price before it.
        - ``price_change_pct``: that over the price before it, as a fraction; NaN where that price is not above zero.
        - ``sma_20``, ``sma_50``: mean of the last 20 and 50 prices; NaN until there are as many.

        Naive timestamps are read as UTC. An empty frame gives an empty one with all of these columns. The derived
        values of rows without symbol or timestamp are NaN.

        :raises UsageError: when ``symbol``, ``timestamp`` or ``price`` is missing or there twice, or when a timestamp
            or price cannot be read.
        """
        frame = data.copy()
        frame.columns = [label.lower() if isinstance(label, str) else label for label in data.columns]
        if not len(frame):
            for name in REQUIRED:
                if name not in frame.columns:
                    frame[name] = pd.Series(dtype="float64" if name == "price" else "object")
        _demand_columns(frame)
        frame["timestamp"] = _utc(frame["timestamp"])
        derived = _derive(frame["symbol"], frame["timestamp"], _prices(frame["price"]))
        for name in DERIVED:
            frame[name] = derived[name].to_numpy()
        return frame

    def enrich(
        self,
        bars: pd.DataFrame,
        names: Collection[str] = INDICATORS,
        *,
        benchmark: pd.Series | None = None,
        per_year: int = 252,
    ) -> pd.DataFrame:
        """A new frame of the bars with indicators added: :func:`fintrack_tasks.transform.indicators.indicators`.

        Columns are lower-case, timestamps UTC, indicators float64; rows and index keep the order of the input, which is
        not changed. Indicators are computed in the order of time within each symbol. ``symbol``, ``timestamp`` and
        ``close`` (or ``price``) are required; an indicator for which ``open``, ``high``, ``low``, ``volume`` or the
        benchmark is missing is NaN, as it is in its warm-up. ``vwap`` needs a column ``session``, the same for all bars
        of one session.

        :param names: which ones; all of :data:`INDICATORS` by default.
        :param benchmark: closes of the index for beta and correlation, indexed by time.
        :param per_year: bars of a year, by which volatility and Sharpe ratio are annualised.
        :raises UsageError: for an unknown name, a column that is missing or there twice, or a timestamp or number that
            cannot be read.
        """
        if unknown := [name for name in names if name not in INDICATORS]:
            raise UsageError(f"no indicator {', '.join(map(str, unknown))}; there are {', '.join(INDICATORS)}")
        frame = bars.copy(deep=False)
        frame.columns = [label.lower() if isinstance(label, str) else label for label in bars.columns]
        close = "close" if "close" in frame.columns else "price"
        _demand_columns(frame, ("symbol", "timestamp", close), names)
        frame["timestamp"] = _utc(frame["timestamp"])
        order, bounds = _series(frame["symbol"], frame["timestamp"])
        prices = _as_prices(frame, close, benchmark).take(order)
        made = {name: np.full(len(frame), np.nan) for name in INDICATORS if name in names}
        for first, last in bounds:
            symbol = str(frame["symbol"].iloc[order[first]]).strip().upper()
            signed = AssetClass.by_form(symbol).is_signed(symbol)
            for name, values in indicators(prices.take(slice(first, last)), per_year, names, signed=signed).items():
                made[name][order[first:last]] = values
        old = frame.drop(columns=[name for name in made if name in frame.columns])
        return pd.concat([old, pd.DataFrame(made, index=frame.index)], axis=1)


def _demand_columns(frame: pd.DataFrame, required: tuple[str, ...] = REQUIRED, made: Collection[str] = DERIVED) -> None:
    labels = list(frame.columns)
    missing = [name for name in required if name not in labels]
    if missing:
        raise UsageError(f"market data needs the columns {', '.join(required)}; missing: {', '.join(missing)}")
    twice = [name for name in (*required, *made) if labels.count(name) > 1]
    if twice:
        raise UsageError(f"more than one column is called {', '.join(twice)} (in lower case)")


def _utc(stamps: pd.Series) -> pd.Series:
    try:
        if pd.api.types.is_numeric_dtype(stamps.dtype) and len(stamps):
            raise UsageError("timestamp holds numbers: their unit is unknown; give times or ISO 8601 text")
        return pd.to_datetime(stamps, utc=True, format="ISO8601")
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"timestamp cannot be read as times: {str(error).splitlines()[0]:.120}") from None


def _prices(prices: pd.Series, name: str = "price") -> pd.Series:
    try:
        return pd.to_numeric(prices).astype("float64")
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"{name} cannot be read as numbers: {str(error).splitlines()[0]:.120}") from None


def _as_prices(frame: pd.DataFrame, close: str, benchmark: pd.Series | None) -> Prices:
    def floats(name: str) -> Floats | None:
        if name not in frame.columns:
            return None
        values: Floats = _prices(frame[name], name).to_numpy(dtype=np.float64, na_value=np.nan)
        return values

    own = floats(close)
    assert own is not None  # noqa: S101  its presence was demanded
    session = pd.factorize(frame["session"])[0].astype(np.int64) if "session" in frame.columns else None
    market = None if benchmark is None else _as_of_bars(frame["timestamp"], benchmark)
    others = {name: floats(name) for name in ("open", "high", "low", "volume")}
    return Prices(own, **others, benchmark=market, session=session)


def _as_of_bars(stamps: pd.Series, benchmark: pd.Series) -> Floats:
    """The benchmark's close at exactly each bar's time; the last one given where a time is there twice."""
    closes = pd.Series(
        _prices(benchmark, "benchmark").to_numpy(dtype=np.float64, na_value=np.nan),
        index=pd.DatetimeIndex(_utc(pd.Series(benchmark.index))).as_unit("ns"),
    )
    closes = closes[~closes.index.duplicated(keep="last")]
    places = closes.index.get_indexer(pd.DatetimeIndex(stamps).as_unit("ns"))
    found: Floats = (
        np.where(places >= 0, closes.to_numpy()[places], np.nan) if len(closes) else np.full(len(stamps), np.nan)
    )
    return found


def _series(symbols: pd.Series, stamps: pd.Series) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """The positions of the rows by symbol and time, and where each symbol's begin and end among them.

    Rows without symbol or time are left out.
    """
    codes, _ = pd.factorize(symbols)
    known = np.flatnonzero((codes >= 0) & stamps.notna().to_numpy(dtype=np.bool_))
    order = known[np.lexsort((stamps.array.asi8[known], codes[known]))]
    edges = [0, *(np.flatnonzero(np.diff(codes[order])) + 1).tolist(), len(order)]
    return order, [(first, last) for first, last in pairwise(edges) if last > first]


def _derive(symbols: pd.Series, stamps: pd.Series, prices: pd.Series) -> pd.DataFrame:
    """The derived columns, by position: computed on the rows sorted by symbol and time, put back into input order."""
    order, bounds = _series(symbols, stamps)
    series = pd.Series(prices.to_numpy(dtype=np.float64, na_value=np.nan)[order])
    groups = series.groupby(np.repeat(np.arange(len(bounds)), [last - first for first, last in bounds]), sort=False)
    before = groups.shift(1)
    columns = {
        "price_change": series - before,
        "price_change_pct": ((series - before) / before).where(before > 0),
        "sma_20": groups.rolling(20, min_periods=20).mean(),
        "sma_50": groups.rolling(50, min_periods=50).mean(),
    }
    result = pd.DataFrame(np.nan, index=range(len(prices)), columns=list(DERIVED))
    for name, values in columns.items():
        full = np.full(len(prices), np.nan)
        full[order] = values.to_numpy()
        result[name] = full
    return result
