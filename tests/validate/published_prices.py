"""Real bars whose prices are at or below zero, or zero where they are unknown, for the tests of such prices.

CL=F of April 2020 and ^IRX of March 2020 as they were published; JNJ of January 1970 as Yahoo gives it (yfinance#1281).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fintrack_tasks.domain import Batch, Interval, Kind, to_micros

OIL = [("2020-04-17", "19.87", "20", "17.3", "18.27"), ("2020-04-20", "17.73", "17.85", "-40.32", "-37.63"),
       ("2020-04-21", "-14", "13.86", "-16.74", "10.01")]  # fmt: skip
BILLS = [("2020-03-25", "-0.033", "-0.033", "-0.07", "-0.038"), ("2020-03-26", "-0.05", "-0.04", "-0.105", "-0.105"),
         ("2020-03-27", "0", "0.013", "-0.023", "-0.023")]  # fmt: skip
JNJ = [("1970-01-02", "0", "3.2037", "3.1713", "3.1944"), ("1970-01-05", "0.0", "3.2176", "3.1898", "3.2176"),
       ("1970-01-06", "3.2176", "3.2778", "3.2176", "3.2454")]  # fmt: skip
NULLS: list[tuple[Any, ...]] = [("1970-01-02", None, "3.2037", "3.1713", "3.1944"),
                                ("1970-01-05", None, None, None, "3.2176"),
                                ("1970-01-06", "3.2176", "3.2778", "3.2176", "3.2454")]  # fmt: skip


def dated_bars(symbol: str, rows: list[tuple[Any, ...]], interval: Interval = Interval.D1) -> Batch:
    """Bars from rows of day, open, high, low and close, each with a volume of its own."""
    days, *prices = (list(column) for column in zip(*rows, strict=True))
    stamps = [to_micros(datetime.fromisoformat(day).replace(tzinfo=UTC)) for day in days]
    columns = dict(zip(("open", "high", "low", "close"), prices, strict=True))
    volume = [str(1000 + place) for place in range(len(rows))]
    return Batch(Kind.BARS, symbol, "x", {"timestamp": stamps, **columns, "volume": volume}, interval=interval)
