"""Whether prices are those of the real providers or of the local market."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["ORIGIN_HEADER", "Mode"]

ORIGIN_HEADER: Final = "x-fintrack-origin"
"""The response header of the local market, which no provider sends: where its prices come from, such as
``synthetic: ...``."""


class Mode(StrEnum):
    """Whose prices a stack, a process or a database holds. The two never meet in one database."""

    LIVE = "live"
    """Those of the real providers."""
    SIMULATED = "simulated"
    """Those of the local market."""
