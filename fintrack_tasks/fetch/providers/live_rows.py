"""Joining two rows of one bar: the bar itself, and the live row that a provider adds for the present state.

A row is open, high, low, close, adjusted close and volume, as the provider's own text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

__all__ = ["is_snapshot", "merged", "newer"]

Row = Sequence[str | None]


def is_snapshot(row: Row) -> bool:
    """Whether a row is a single price without volume: the price on display, not the course of a bar."""
    prices = {Decimal(price) for price in row[:4] if price is not None}
    return len(prices) == 1 and not Decimal(row[5] or 0)


def merged(first: Row, second: Row) -> list[str | None]:
    """One intraday bar of its two parts: the first open, the highest, the lowest, the last close, the sum of volumes.

    A value that is unknown in one part is unknown in the whole. A snapshot is no part of a bar and changes nothing.
    """
    if is_snapshot(second) != is_snapshot(first):
        return list(first if is_snapshot(second) else second)
    volumes = [Decimal(each[5]) for each in (first, second) if each[5] is not None]
    return [
        first[0],
        _farthest(max, first[1], second[1]),
        _farthest(min, first[2], second[2]),
        second[3],
        second[4],
        format(sum(volumes, Decimal(0)), "f") if volumes else None,
    ]


def newer(first: Row, second: Row) -> list[str | None]:
    """One daily bar of two that both cover the whole day: the later one, unless it is a snapshot beside a bar."""
    return list(first if is_snapshot(second) and not is_snapshot(first) else second)


def _farthest(choose: Callable[[Decimal, Decimal], Decimal], one: str | None, other: str | None) -> str | None:
    if one is None or other is None:
        return None
    return one if choose(Decimal(one), Decimal(other)) == Decimal(one) else other
