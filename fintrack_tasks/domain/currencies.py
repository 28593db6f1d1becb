"""Currency codes as providers write them, and stored exchange rates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

__all__ = ["FxRate", "is_currency"]


_NO_CURRENCIES: Final = frozenset({"null", "none", "nan", "undefined", "unknown", "infinity", "true", "false"})
"""What programs write for a missing value."""


def is_currency(code: object) -> bool:
    """Whether ``code`` has the form of a currency code as providers write it: ``USD``, ``GBp``, ``USDT``."""
    if not isinstance(code, str) or code.lower() in _NO_CURRENCIES:
        return False
    return 2 <= len(code) <= 10 and code.isascii() and code.isalnum() and code[0].isalpha()


@dataclass(frozen=True, slots=True)
class FxRate:
    """An exchange rate: ``rate`` units of ``quote`` for one unit of ``base``, as of ``timestamp`` (aware UTC).

    ``base`` and ``quote`` are ISO 4217 codes, ``source`` is the provider.
    """

    base: str
    quote: str
    timestamp: datetime
    rate: Decimal
    source: str
