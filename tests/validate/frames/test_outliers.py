"""Outliers of a user's DataFrame, symbol by symbol."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from fintrack_tasks.validate import find_outliers

FIRST = datetime(2024, 1, 1, tzinfo=UTC)


DAY = timedelta(days=1)


def frame(prices: list[Any], symbol: str = "AAPL", **columns: list[Any]) -> pd.DataFrame:
    made = {
        "symbol": [symbol] * len(prices),
        "timestamp": [FIRST + place * DAY for place in range(len(prices))],
        "price": prices,
        "volume": [1000.0 + place for place in range(len(prices))],
    }
    return pd.DataFrame({**made, **columns})


def wave(count: int) -> list[float]:
    return [100.0 + place % 2 for place in range(count)]


def test_symbols_do_not_measure_each_other() -> None:
    mixed = pd.concat([frame(wave(40)), frame([price * 3 for price in wave(40)], "MSFT")]).sort_values("timestamp")
    assert find_outliers(mixed) == []


@pytest.mark.parametrize(
    "odd",
    [
        pd.DataFrame(),
        pd.DataFrame({"symbol": ["A"], "price": [1.0]}),
        pd.DataFrame({"symbol": [None, 1], "timestamp": ["x", None], "price": ["y", -1]}),
        frame([1.0]).drop(columns="volume"),
        frame(["1", "1.1", None, float("inf"), "abc"]),
    ],
)
def test_frames_of_anything_are_looked_at_without_an_error(odd: pd.DataFrame) -> None:
    assert find_outliers(odd) == []
