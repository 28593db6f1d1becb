"""What some checks must know beside the batch. It is given, never fetched: the checks stay pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fintrack_tasks.domain import AssetClass
from fintrack_tasks.session_times import TradingSessions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Stamps = NDArray[np.int64]
    Floats = NDArray[np.float64]

__all__ = ["SEQUENCE_LOOKBACK", "OtherProviderBars", "PriorBars", "ValidationContext"]

SEQUENCE_LOOKBACK: Final = 61
"""Bars: the 60 returns before one of them are what its jump is measured by."""


@dataclass(frozen=True, slots=True)
class PriorBars:
    """The final bars before a batch, ascending, in the batch's own unit of currency; NaN is an unknown volume.

    61 of them are all that any check looks at; with fewer than 21 the robust checks are silent.
    """

    timestamp: Stamps
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


@dataclass(frozen=True, slots=True)
class OtherProviderBars:
    """Final bars of other providers at times of the batch, ascending, in the batch's own unit of currency."""

    timestamp: Stamps
    close: Floats
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ValidationContext:
    """Beside the batch: the class of its instrument, its calendar, what was before, and what others say.

    A field that is ``None`` silences the rules that need it. ``splits`` are pairs of the first stamp that a split
    applies to and its ratio, new shares for one old share.
    """

    asset_class: AssetClass
    sessions: TradingSessions | None = None
    prior_bars: PriorBars | None = None
    splits: tuple[tuple[int, float], ...] = ()
    other_provider_bars: OtherProviderBars | None = None
