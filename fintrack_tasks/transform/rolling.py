"""Rolling sum, mean, deviation and quantile whose values depend on the window alone, to the last bit.

A running sum (add the newest value, subtract the oldest) accumulates the rounding errors of all values before. Here a
window's sum is made of sums of 1, 2, 4, ... neighbours, always in the same order, so that a series and any part of it
that holds the window give the same value to the last bit. That costs one addition of whole arrays for every binary
digit of the window's length.

Functions take and return float64 arrays of one length. The value at a position is that of the ``length`` values that
end there; NaN where there are fewer, or one of them is NaN.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "deviation", "mean", "quantile", "total"]

Floats = NDArray[np.float64]

_NOISE: Final = 4 * float(np.finfo(np.float64).eps)
"""A sum of squared deviations below this fraction of the sum of squares is rounding error: all values are equal."""


def total(values: Floats, length: int) -> Floats:
    """The rolling sum."""
    result = np.full(len(values), np.nan)
    if len(values) < length:
        return result
    parts, size, behind = values, 1, 0  # parts[i] is the sum of `size` values from i on
    found: Floats | None = None
    left = length
    while True:
        if left & 1:
            rows = len(values) - length + 1
            piece = parts[behind : behind + rows]
            found = piece.copy() if found is None else np.add(found, piece, out=found)
            behind += size
        left >>= 1
        if not left:
            break
        parts = parts[:-size] + parts[size:]
        size *= 2
    result[length - 1 :] = found
    return result


def mean(values: Floats, length: int) -> Floats:
    """The rolling mean."""
    return total(values, length) / length


def deviation(values: Floats, length: int) -> Floats:
    """The rolling sample standard deviation (n - 1); exactly 0 where all values are equal."""
    squares = total(values * values, length)
    squared = squares - length * mean(values, length) ** 2
    squared[squared <= _NOISE * squares] = 0.0
    return np.sqrt(squared / (length - 1))


def quantile(values: Floats, length: int, share: float) -> Floats:
    """The rolling quantile (``share`` in [0, 1]), linear between the two nearest values."""
    if len(values) < length:
        return np.full(len(values), np.nan)
    import pandas as pd  # noqa: PLC0415  # its skip list needs log(length) a row, where numpy would sort each window

    found: Floats = pd.Series(values).rolling(length).quantile(share, interpolation="linear").to_numpy()
    return found
