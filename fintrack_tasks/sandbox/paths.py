"""Shorter bars made up inside a longer one: from its open to its close, touching its high and its low."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from fintrack_tasks.sandbox.synthetic import draws

__all__ = ["Piece", "joined", "pieces"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Prices and volume of one stretch of time."""

    open: float
    high: float
    low: float
    close: float
    volume: int


def pieces(whole: Piece, count: int, decimals: int, *words: object) -> list[Piece]:
    """``count`` pieces that add up to the whole; they depend on the words alone.

    The first opens at the whole's open, each next one where the one before closed, the last closes at the whole's
    close; no price leaves the whole's range, its high and low are touched, the volumes add up to its volume.
    """
    numbers = draws(4 * count, *words)
    steps, ups, downs, weights = (numbers[i * count : (i + 1) * count] for i in range(4))
    points = _bridge(whole, steps, decimals)
    room = 0.1 * (whole.high - whole.low)
    highs = [round(min(max(a, b) + room * up, whole.high), decimals) for a, b, up in zip(points, points[1:], ups)]  # noqa: B905  pairs of neighbours
    lows = [round(max(min(a, b) - room * down, whole.low), decimals) for a, b, down in zip(points, points[1:], downs)]  # noqa: B905
    highs[highs.index(max(highs))] = whole.high
    lows[lows.index(min(lows))] = whole.low
    volumes = _shares(whole.volume, [0.5 + weight for weight in weights])
    return [Piece(points[i], highs[i], lows[i], points[i + 1], volumes[i]) for i in range(count)]


def joined(parts: Sequence[Piece]) -> Piece:
    """The pieces as one; there is at least one."""
    return Piece(
        parts[0].open,
        max(part.high for part in parts),
        min(part.low for part in parts),
        parts[-1].close,
        sum(part.volume for part in parts),
    )


def _bridge(whole: Piece, steps: Sequence[float], decimals: int) -> list[float]:
    """Points of a random walk tied down at both ends, held inside the range."""
    count = len(steps)
    walk = [0.0, *accumulate(step - 0.5 for step in steps)]
    tied = [at - walk[-1] * i / count for i, at in enumerate(walk)]
    scale = 0.8 * (whole.high - whole.low) / (max(map(abs, tied)) or 1.0)
    inner = (
        whole.open + (whole.close - whole.open) * i / count + scale * at for i, at in enumerate(tied[1:-1], start=1)
    )
    held = [min(max(round(price, decimals), whole.low), whole.high) for price in inner]
    return [whole.open, *held, whole.close]


def _shares(volume: int, weights: Sequence[float]) -> list[int]:
    total = sum(weights)
    ends = [int(volume * part / total) for part in accumulate(weights)]
    ends[-1] = volume
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
