"""What some rules need beside the batch: :class:`ValidationContext` and its parts, as plain values.

It is read from the database in :mod:`fintrack_tasks.pipeline.validation_context`; the checks themselves read nothing.
"""

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
"""How many prior bars the rules of :mod:`.sequence` use: 61 closes give the 60 returns that a jump is measured by."""


@dataclass(frozen=True, slots=True)
class PriorBars:
    """The final bars before a batch as arrays of one length, ascending by time; NaN is an unknown price or volume.

    Prices are in the batch's currency unit, ``timestamp`` is microseconds. No rule uses more than
    :data:`SEQUENCE_LOOKBACK`; with fewer than 21 the rules that need a usual return or volume find nothing.
    """

    timestamp: Stamps
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


@dataclass(frozen=True, slots=True)
class OtherProviderBars:
    """Stored final bars of other providers at times of the batch, ascending, in the batch's currency unit."""

    timestamp: Stamps
    close: Floats
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ValidationContext:
    """What the rules may know beside the batch. Rules find nothing where the field that they need is ``None``.

    :param splits: pairs of the first stamp (microseconds) that a split applies to and its ratio, new shares for one old
        share.
    """

    asset_class: AssetClass
    sessions: TradingSessions | None = None
    prior_bars: PriorBars | None = None
    splits: tuple[tuple[int, float], ...] = ()
    other_provider_bars: OtherProviderBars | None = None
