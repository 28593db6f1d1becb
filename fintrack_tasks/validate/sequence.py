"""Bars against the bars before them: repeats, wrong units, missed splits, jumps, volumes, other providers' closes.

The scale of a return is that of the 60 before it, so that a bar gets the same verdict whichever batch it comes in; only
a move that the next bar takes back is seen better where that bar is there. 60 returns are three months of days or a few
days of hours: enough for a median that a few jumps do not move, and few enough to follow a market that turns restless.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import isinf, log, sqrt
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fintrack_tasks.domain import Finding, Interval
from fintrack_tasks.validate.context import OtherProviderBars, PriorBars, ValidationContext
from fintrack_tasks.validate.rules import Limits, finding

__all__ = ["FEWEST", "WINDOW", "BarSequence", "check_sequence"]

Stamps = NDArray[np.int64]
Floats = NDArray[np.float64]

WINDOW: Final = 60
FEWEST: Final = 20
"""Returns, or volumes, below which nothing is usual."""

_NORMAL: Final = 1.4826  # the median absolute deviation of a normal distribution is its sigma over this
_LEAST_RETURN: Final = 1e-4  # a series that stood still is not upset by its first basis point
_HUNDRED: Final = log(100)
_RATIOS: Final = (1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0)
_USUAL_GAP: Final = 4
"""Intervals between two bars that need no wider limit: a weekend with a holiday."""


@dataclass(frozen=True, slots=True)
class BarSequence:
    """Bars in the order of time, all closes finite; NaN is an unknown price or volume.

    Those of futures and yields may be at or below zero: there is no logarithm of these, and no return from or to them.

    ``rows`` are their positions in the batch.
    """

    rows: Stamps
    timestamp: Stamps
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


def check_sequence(
    bars: BarSequence,
    context: ValidationContext,
    interval: Interval,
    source: str,
    limits: Limits,
    *,
    ratios: bool = True,
) -> list[Finding]:
    """The findings of every rule that needs earlier bars or other providers', each row's in the order of the rules.

    :param ratios: whether a price many times, or a split's ratio of, the one before it says anything.
    """
    if not len(bars.rows):
        return []
    joined, first = _joined(bars, context.prior_bars)
    usual = limits.by_class[context.asset_class]
    volume = usual.volume if interval is Interval.D1 else usual.volume_intraday
    returns, joined = _without_splits(joined, context.splits)
    levels = _levels(returns, first, limits.unit_tolerance) if ratios else np.zeros(len(returns) + 1, dtype=np.int64)
    returns = returns - np.diff(levels) * _HUNDRED
    scale = _Scale(np.abs(returns), np.diff(joined.timestamp), interval)
    found = _check_repeats(joined, first)
    if ratios:
        found += _check_units(joined, levels, first)
        found += _check_splits(joined, returns, scale, first, limits.split_tolerance)
    found += _check_jumps(joined, returns, scale, first, usual.jump)
    if not isinf(volume):
        found += _check_volumes(joined, first, volume)
    if context.other_provider_bars is not None:
        found += _check_others(bars, context.other_provider_bars, source, usual.disagreement)
    return found


def _joined(bars: BarSequence, before: PriorBars | None) -> tuple[BarSequence, int]:
    """The earlier bars and these in one, and the place of the first of these."""
    if before is None:
        return bars, 0
    kept = slice(0, int(np.searchsorted(before.timestamp, bars.timestamp[0])))
    count = len(before.timestamp[kept])
    return BarSequence(
        np.concatenate([np.full(count, -1, dtype=np.int64), bars.rows]),
        *(
            np.concatenate([getattr(before, name)[kept], getattr(bars, name)])
            for name in ("timestamp", "open", "high", "low", "close", "volume")
        ),
    ), count


def _without_splits(bars: BarSequence, splits: Iterable[tuple[int, float]]) -> tuple[Floats, BarSequence]:
    """The log returns with known splits taken out where the prices show them (a provider may have done so already),
    and the bars with the volumes before such a split in shares of after it."""
    returns, volume = np.diff(np.log(np.where(bars.close > 0, bars.close, np.nan))), bars.volume
    for stamp, ratio in splits:
        place = int(np.searchsorted(bars.timestamp, stamp)) - 1
        if 0 <= place < len(returns) and ratio > 0:
            adjusted = returns[place] + log(ratio)
            if abs(adjusted) < abs(returns[place]):
                returns[place] = adjusted
                volume = np.concatenate([volume[: place + 1] * ratio, volume[place + 1 :]])
    return returns, replace(bars, volume=volume)


def _levels(returns: Floats, first: int, tolerance: float) -> Stamps:
    """For each bar how many factors of 100 lie between it and the unit of most: of the earlier bars, if there are."""
    size = len(returns) + 1
    jumps = np.abs(np.abs(returns) - _HUNDRED) < tolerance
    if not jumps.any():
        return np.zeros(size, dtype=np.int64)
    levels = np.concatenate([[0], np.cumsum(np.where(jumps, np.sign(returns), 0))]).astype(np.int64)
    values, counts = np.unique(levels[:first] if first else levels, return_counts=True)
    relative: Stamps = levels - values[np.argmax(counts)]
    return relative


def _median(values: Floats) -> float:
    # np.median takes twenty times as long for so few.
    ordered = np.sort(values).tolist()
    middle = len(ordered) // 2
    return float(ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)


class _Scale:
    """What is usual of the returns: the robust scale of the 60 before each."""

    def __init__(self, sizes: Floats, gaps: Stamps, interval: Interval) -> None:
        self.sizes = sizes
        step = interval.delta.total_seconds() * 1e6
        self.widening = np.sqrt(np.maximum(gaps / (_USUAL_GAP * step), 1.0))

    def usual(self, place: int) -> float | None:
        """1.4826 times the median of the absolute returns before this one, ``None`` when they are too few."""
        earlier = self.sizes[max(place - WINDOW, 0) : place]
        earlier = earlier[~np.isnan(earlier)]
        if len(earlier) < FEWEST:
            return None
        return max(_NORMAL * _median(earlier), _LEAST_RETURN)

    def suspects(self, moves: Floats, first: int, factor: float) -> list[int]:
        """The places from ``first`` on whose move may be beyond ``factor`` times the usual return."""
        marks = moves / (factor * _NORMAL * self.widening)
        marks[moves < factor * _LEAST_RETURN] = 0.0
        return _above_median(self.sizes, first, marks)


def _above_median(values: Floats, first: int, marks: Floats) -> list[int]:
    """The places from ``first`` on where the median of the 60 values before may lie below the place's mark.

    A median below a mark means that at least half of the values are: counting costs a fraction of sorting. May name a
    place too many, never one too few; NaN counts as no value.
    """
    places = (
        np.flatnonzero(marks[first:] > np.fmin.reduce(values, initial=np.inf)) + first
    )  # not below all values there are
    if not len(places):
        return []
    if len(places) * 4 > len(values) - first:  # picking so many costs more than it saves
        places = np.arange(first, len(values))
    chosen = places if len(places) < len(values) - first else slice(first, None)
    padded = np.concatenate([np.full(WINDOW, np.nan), values])
    windows = sliding_window_view(padded, len(values))[:WINDOW, chosen]
    below = (windows < marks[chosen]).sum(axis=0, dtype=np.uint8)
    known = places.clip(max=WINDOW)
    if np.isnan(values).any():
        known = (windows == windows).sum(axis=0, dtype=np.uint8)  # noqa: PLR0124  NaN differs from itself
    found: list[int] = places[(known >= FEWEST) & (below * 2 >= known)].tolist()
    return found


def _check_repeats(bars: BarSequence, first: int) -> list[Finding]:
    same = bars.high[1:] > bars.low[1:]
    for values in (bars.open, bars.high, bars.low, bars.close):
        same &= values[1:] == values[:-1]
    if not same.any():
        return []
    volume = bars.volume
    same &= (volume[1:] == volume[:-1]) | (np.isnan(volume[1:]) & np.isnan(volume[:-1]))
    detail = "repeats open, high, low, close and volume of the bar before it"
    return [finding("stale_repeat", int(bars.rows[i + 1]), detail) for i in np.flatnonzero(same) if i + 1 >= first]


def _check_units(bars: BarSequence, levels: Stamps, first: int) -> list[Finding]:
    found = []
    right = np.flatnonzero(levels == 0)
    for place in np.flatnonzero(levels):
        if place >= first:
            near = right[max(int(np.searchsorted(right, place)) - 1, 0)]
            detail = f"close {bars.close[place]:g} is about {100.0 ** levels[place]:g} times {bars.close[near]:g}"
            found.append(finding("unit_error", int(bars.rows[place]), detail))
    return found


def _check_splits(
    bars: BarSequence, returns: Floats, scale: _Scale, first: int, tolerance: tuple[float, float]
) -> list[Finding]:
    found = []
    start = max(first - 1, 0)
    for place in np.flatnonzero(scale.sizes[start:] > log(_RATIOS[0]) - tolerance[1]) + start:
        size = float(scale.sizes[place])
        ratio = min(_RATIOS, key=lambda each: abs(size - log(each)))
        near = min(max(5 * (scale.usual(int(place)) or tolerance[1] / 5), tolerance[0]), tolerance[1])
        if abs(size - log(ratio)) <= near:
            way = "up" if returns[place] > 0 else "down"
            detail = f"close {bars.close[place + 1]:g} after {bars.close[place]:g}: {way} by a split's {ratio:g}"
            found.append(finding("missed_split", int(bars.rows[place + 1]), detail))
    return found


def _check_jumps(bars: BarSequence, returns: Floats, scale: _Scale, first: int, factor: float) -> list[Finding]:
    found = []
    moves = _moves(returns)
    for place in scale.suspects(moves, max(first - 1, 0), factor):
        usual = scale.usual(place)
        if usual is None:
            continue
        times = float(moves[place]) / (usual * float(scale.widening[place]))
        if times > factor:
            back = f", {returns[place + 1]:+.4f} after it" if moves[place] > scale.sizes[place] else ""
            detail = f"a log return of {returns[place]:+.4f}{back} is {times:.1f} times the usual {usual:.4f}"
            found.append(finding("price_jump", int(bars.rows[place + 1]), detail))
    return found


def _moves(returns: Floats) -> Floats:
    """The size of each return, or of a move that the next bar takes back: their difference over the root of two.

    That is the size of the return where nothing is wrong, and sees a single wrong close better: it is in both. One of
    the two being less than half of the other is no taking back, but a move beside another one.
    """
    moves = np.abs(returns)
    one, other = moves[:-1], moves[1:]
    back = (returns[:-1] * returns[1:] < 0) & (2 * one > other) & (2 * other > one)
    one[back] = np.maximum(one, np.abs(np.diff(returns)) / sqrt(2))[back]
    return moves


def _check_volumes(bars: BarSequence, first: int, factor: float) -> list[Finding]:
    found = []
    volume = bars.volume
    silent = np.flatnonzero((volume[first:] == 0) & (bars.high[first:] > bars.low[first:])) + first
    for place in sorted({*_above_median(volume, first, volume / factor), *silent.tolist()}):
        earlier = volume[max(place - WINDOW, 0) : place]
        earlier = earlier[~np.isnan(earlier)]
        usual = _median(earlier) if len(earlier) >= FEWEST else 0.0
        if usual > 0 and (volume[place] > factor * usual or volume[place] == 0):
            detail = f"a volume of {volume[place]:.0f} where {usual:.0f} is usual"
            found.append(finding("volume_anomaly", int(bars.rows[place]), detail))
    return found


def _check_others(bars: BarSequence, stored: OtherProviderBars, source: str, limit: float) -> list[Finding]:
    if not len(stored.timestamp):
        return []
    found = []
    place = np.minimum(np.searchsorted(stored.timestamp, bars.timestamp), len(stored.timestamp) - 1)
    apart = np.abs(bars.close - stored.close[place]) > limit * np.abs(stored.close[place])
    for i in np.flatnonzero((stored.timestamp[place] == bars.timestamp) & apart):
        other = stored.source[place[i]]
        if other != source:
            detail = f"close {bars.close[i]:g}, and {stored.close[place[i]]:g} from {other}"
            found.append(finding("provider_disagreement", int(bars.rows[i]), detail))
    return found
