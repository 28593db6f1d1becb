"""Which columns a quote and a bar have, and what is demanded of each: :data:`SHAPES`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fintrack_tasks.domain import Kind

__all__ = ["SHAPES", "Shape"]


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns of rows of one kind, by what is demanded; ``prices``, ``amounts`` and ``others`` are disjoint.

    :param required: have to be there.
    :param prices: have to be above zero, unless :attr:`fintrack_tasks.domain.Instrument.is_signed`.
    :param amounts: have to be at least zero where known.
    :param others: have to be finite numbers where known.
    :param ohlc: whether open, high, low and close have to be consistent.
    :param partial: those of the prices that are unknown, not wrong, where they are zero or null.
    """

    required: tuple[str, ...]
    prices: tuple[str, ...]
    amounts: tuple[str, ...]
    others: tuple[str, ...]
    ohlc: bool
    partial: tuple[str, ...] = ()


_QUOTE: Final = Shape(
    required=("timestamp", "price", "volume"),
    prices=("price",),
    amounts=("volume",),
    others=("previous_close", "open", "high", "low", "bid", "ask"),
    ohlc=False,
)
_BAR: Final = Shape(
    required=("timestamp", "open", "high", "low", "close", "volume"),
    prices=("open", "high", "low", "close"),
    amounts=("volume",),
    others=("adj_close",),
    ohlc=True,
    partial=("open", "high", "low"),
)
SHAPES: Final = {Kind.QUOTE: _QUOTE, Kind.BARS: _BAR, Kind.INDEX: _BAR}
