"""Windows over arrays, whose values depend on what lies in the window and on nothing before it.

A running sum (add the new, take off the old) carries the rounding of every value that ever passed through it. Here a
window's sum is put together from sums of 1, 2, 4, ... neighbours, always in the same order, so that a series and any
part of it that holds the window give the same number to the last bit. It costs one addition of whole arrays for every
binary digit of the window's length.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "deviation", "mean", "quantile", "total"]

Floats = NDArray[np.float64]

_NOISE: Final = 4 * float(np.finfo(np.float64).eps)
"""Below this share of the sum of squares a sum of squared deviations is rounding: the values are all the same."""


def total(values: Floats, length: int) -> Floats:
    """The sum of the last ``length`` values at each place; NaN where there are fewer, or one of them is NaN."""
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
    """The mean of the last ``length`` values."""
    return total(values, length) / length


def deviation(values: Floats, length: int) -> Floats:
    """The sample standard deviation (n - 1) of the last ``length`` values; exactly 0 where they are all the same."""
    squares = total(values * values, length)
    squared = squares - length * mean(values, length) ** 2
    squared[squared <= _NOISE * squares] = 0.0
    return np.sqrt(squared / (length - 1))


def quantile(values: Floats, length: int, share: float) -> Floats:
    """The quantile of the last ``length`` values, linear between the two that lie next to it."""
    if len(values) < length:
        return np.full(len(values), np.nan)
    import pandas as pd  # noqa: PLC0415  # its skip list needs log(length) a row, where numpy would sort each window

    found: Floats = pd.Series(values).rolling(length).quantile(share, interpolation="linear").to_numpy()
    return found
