"""The bundled real daily histories as arrays and as frames, for tests of indicators, frames and charts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fintrack_tasks.sandbox.prices import real_daily
from fintrack_tasks.transform.indicators import Prices

SYMBOLS = sorted(real_daily())


def prices(symbol: str) -> Prices:
    """A symbol's whole daily history, with the closes of ^GSPC beside it."""
    market = {day.day: day.close for day in real_daily()["^GSPC"]}
    days = real_daily()[symbol]
    open_, high, low, close, volume = (
        np.array([getattr(day, name) for day in days], dtype=np.float64)
        for name in ("open", "high", "low", "close", "volume")
    )
    return Prices(close, open_, high, low, volume, np.array([market.get(day.day, np.nan) for day in days]))


def frame(symbol: str) -> pd.DataFrame:
    """The same with symbol and timestamp."""
    held, days = prices(symbol), real_daily()[symbol]
    stamps = pd.DatetimeIndex([day.day for day in days]).tz_localize("UTC").as_unit("us")
    columns = {"open": held.open, "high": held.high, "low": held.low, "close": held.close, "volume": held.volume}
    return pd.DataFrame({"symbol": symbol, "timestamp": stamps, **columns})


def market() -> pd.Series:
    """The closes of ^GSPC by time."""
    bars = frame("^GSPC")
    return pd.Series(bars["close"].to_numpy(), index=pd.DatetimeIndex(bars["timestamp"]))
