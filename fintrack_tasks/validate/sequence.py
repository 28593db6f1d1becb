"""Checks bars against the bars before them and other providers' closes, with numpy.

The rules are stale repeats, wrong units, missed splits, price jumps, volume anomalies and provider disagreement. What
is usual is taken from the 60 returns before a bar, so that it gets the same findings whichever batch it comes in; only
a jump that the next bar reverts is detected better where that bar is known. 60 returns are three months of daily or a
few days of hourly bars: enough for a median that a few jumps do not move, few enough to follow a change of volatility.

Sequences without rules, by a trained model, are scored in :mod:`.anomalies`.
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
"""So many known returns or volumes are needed to say what is usual."""

_NORMAL: Final = 1.4826  # the median absolute deviation of a normal distribution is its sigma over this
_LEAST_RETURN: Final = 1e-4  # so that one basis point after a standstill is no jump
_HUNDRED: Final = log(100)
_RATIOS: Final = (1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0)
_USUAL_GAP: Final = 4
"""A gap of so many intervals between two bars, as over a long weekend, does not widen the limit of a jump."""


@dataclass(frozen=True, slots=True)
class BarSequence:
    """Bars as arrays of one length, ascending by time (microseconds), all closes finite; NaN is an unknown value.

    Prices of futures and yields may be zero or negative: the returns from and to these are NaN.

    :param rows: the positions that findings name, in the batch or frame.
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
    """The findings of every rule that needs prior bars or those of other providers, rule by rule.

    :param source: the provider of the bars, which does not disagree with itself.
    :param ratios: whether to look for wrong units and missed splits, which the ratio of two prices shows.
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
    """The prior bars and these in one sequence, and the position of the first of these."""
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
    """The log returns without known splits, and the bars with earlier volumes restated in shares of after the split.

    A split is taken out where that makes its return smaller: the provider may have restated the prices already.
    """
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
    """For each bar the power of 100 by which its unit differs from that of most prior bars, or of most bars."""
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
    """The robust scale of the 60 returns before each return.

    :param sizes: absolute log returns; ``gaps``: microseconds between their two bars.
    """

    def __init__(self, sizes: Floats, gaps: Stamps, interval: Interval) -> None:
        self.sizes = sizes
        step = interval.delta.total_seconds() * 1e6
        self.widening = np.sqrt(np.maximum(gaps / (_USUAL_GAP * step), 1.0))

    def usual(self, place: int) -> float | None:
        """1.4826 times the median of the 60 absolute returns before it; ``None`` with fewer than :data:`FEWEST`."""
        earlier = self.sizes[max(place - WINDOW, 0) : place]
        earlier = earlier[~np.isnan(earlier)]
        if len(earlier) < FEWEST:
            return None
        return max(_NORMAL * _median(earlier), _LEAST_RETURN)

    def suspects(self, moves: Floats, first: int, factor: float) -> list[int]:
        """The positions from ``first`` on whose move may exceed ``factor`` times the usual return."""
        marks = moves / (factor * _NORMAL * self.widening)
        marks[moves < factor * _LEAST_RETURN] = 0.0
        return _above_median(self.sizes, first, marks)


def _above_median(values: Floats, first: int, marks: Floats) -> list[int]:
    """The positions from ``first`` on where the median of the 60 values before may lie below the position's mark.

    A median below a mark means that at least half of the values are: counting costs a fraction of sorting. It may name
    a position too many, never miss one; NaN counts as no value.
    """
    # A mark below all values lies below every median.
    places = np.flatnonzero(marks[first:] > np.fmin.reduce(values, initial=np.inf)) + first
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
    """The size of each return, or, where the next return reverts it, of their difference over the root of two.

    A single wrong close is in both returns, so that their difference shows it better; of two unrelated returns it is
    about as large as one. Returns of opposite sign count as reverted when neither is less than half of the other.
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
