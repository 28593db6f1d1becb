"""The specification's transformation of a DataFrame: :class:`DataTransformer`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fintrack_tasks.errors import UsageError

__all__ = ["DERIVED", "REQUIRED", "DataTransformer"]

REQUIRED = ("symbol", "timestamp", "price")
DERIVED = ("price_change", "price_change_pct", "sma_20", "sma_50")


class DataTransformer:
    """Brings frames of quotes into the standard form. Holds no state."""

    def transform_market_data(self, data: pd.DataFrame) -> pd.DataFrame:
        """A new frame with lower-case columns, UTC timestamps and the columns of :data:`DERIVED`.

        Rows and index keep the order of the input, which is left as it is. The derived columns follow the order of
        time within each symbol, never across symbols:

        - ``price_change``: price minus the price before it.
        - ``price_change_pct``: that over the price before it, as a fraction; NaN where that price is zero.
        - ``sma_20``, ``sma_50``: mean of the last 20 and 50 prices; NaN until there are as many.

        Naive timestamps are read as UTC. A frame without rows gives one without rows, with all of these columns.
        Rows without symbol or timestamp belong to no series: their derived values are NaN.

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


def _demand_columns(frame: pd.DataFrame) -> None:
    labels = list(frame.columns)
    missing = [name for name in REQUIRED if name not in labels]
    if missing:
        raise UsageError(f"market data needs the columns {', '.join(REQUIRED)}; missing: {', '.join(missing)}")
    twice = [name for name in (*REQUIRED, *DERIVED) if labels.count(name) > 1]
    if twice:
        raise UsageError(f"more than one column is called {', '.join(twice)} (in lower case)")


def _utc(stamps: pd.Series) -> pd.Series:
    try:
        if pd.api.types.is_numeric_dtype(stamps.dtype) and len(stamps):
            raise UsageError("timestamp holds numbers: their unit is unknown; give times or ISO 8601 text")
        return pd.to_datetime(stamps, utc=True, format="ISO8601")
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"timestamp cannot be read as times: {str(error).splitlines()[0]:.120}") from None


def _prices(prices: pd.Series) -> pd.Series:
    try:
        return pd.to_numeric(prices).astype("float64")
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"price cannot be read as numbers: {str(error).splitlines()[0]:.120}") from None


def _derive(symbols: pd.Series, stamps: pd.Series, prices: pd.Series) -> pd.DataFrame:
    """The derived columns, by position: computed on the rows sorted by symbol and time, put back into input order."""
    codes, _ = pd.factorize(symbols)
    known = np.flatnonzero((codes >= 0) & stamps.notna().to_numpy(dtype=np.bool_))
    order = known[np.lexsort((stamps.array.asi8[known], codes[known]))]
    series = pd.Series(prices.to_numpy(dtype=np.float64, na_value=np.nan)[order])
    groups = series.groupby(codes[order], sort=False)
    before = groups.shift(1)
    columns = {
        "price_change": series - before,
        "price_change_pct": ((series - before) / before).where(before != 0),
        "sma_20": groups.rolling(20, min_periods=20).mean(),
        "sma_50": groups.rolling(50, min_periods=50).mean(),
    }
    result = pd.DataFrame(np.nan, index=range(len(prices)), columns=list(DERIVED))
    for name, values in columns.items():
        full = np.full(len(prices), np.nan)
        full[order] = values.to_numpy()
        result[name] = full
    return result
