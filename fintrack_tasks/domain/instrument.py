"""Instruments and their asset classes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from fintrack_tasks.printable import printable
from fintrack_tasks.symbols import FORM, RATE_INDICES, kind_of, spelled

__all__ = ["BENCHMARK", "AssetClass", "Instrument"]


BENCHMARK: Final = "^GSPC"
"""The index against which beta and correlation are computed."""


class AssetClass(StrEnum):
    """What an instrument is; its route, calendar and thresholds depend on it."""

    STOCK = "stock"
    CRYPTO = "crypto"
    FOREX = "forex"
    INDEX = "index"
    COMMODITY = "commodity"
    """Futures, on goods or anything else."""

    @classmethod
    def by_form(cls, symbol: str) -> Self:
        """By the symbol's form: ``^GSPC`` index, ``BTC-USD`` or ``BTC/USD`` crypto, ``EURUSD=X`` or ``EUR/USD`` forex,
        ``GC=F`` commodity, else stock."""
        return cls(kind_of(symbol))

    def is_signed(self, symbol: str) -> bool:
        """Whether prices of such an instrument may be zero or negative: futures, and yields (``^IRX``)."""
        return self is AssetClass.COMMODITY or (self is AssetClass.INDEX and symbol in RATE_INDICES)


@dataclass(frozen=True, slots=True)
class Instrument:
    """A stock, index, pair, coin or future, by its canonical symbol.

    :param symbol: the canonical symbol (Yahoo's form: ``AAPL``, ``^GSPC``, ``BTC-USD``, ``EURUSD=X``, ``GC=F``).
    :param currency: ISO 4217 code of its prices, when known.
    :param calendar: exchange_calendars' name of its sessions, when it is not the one by
        :func:`fintrack_tasks.calendars.calendar_name`.
    :param name: free text; what cannot be printed is removed.
    """

    symbol: str
    asset_class: AssetClass
    currency: str | None = None
    calendar: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None:  # free text of a provider, a page or a file
            object.__setattr__(self, "name", printable(self.name).strip() or None)

    @classmethod
    def of(cls, symbol: str, asset_class: AssetClass | str | None = None) -> Self:
        """An instrument from what a person typed; ``EUR/USD`` becomes ``EURUSD=X``, ``BRK.B`` becomes ``BRK-B``.

        :raises ValueError: when the text cannot be a symbol.
        """
        text = symbol.strip().upper()
        if not FORM.fullmatch(text):
            raise ValueError(f"not a symbol: {symbol!r:.60}")
        kind = AssetClass(asset_class) if asset_class else AssetClass.by_form(text)
        return cls(spelled(text, kind), kind)

    @property
    def is_signed(self) -> bool:
        """Whether its prices may be zero or negative."""
        return self.asset_class.is_signed(self.symbol)
