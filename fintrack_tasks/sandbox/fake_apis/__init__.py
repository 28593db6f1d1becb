"""The providers as the sandbox plays them, found by their files: one file each, with an object named ``VENUE``."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import Final

from fintrack_tasks.sandbox.fake_apis.base import Venue

__all__ = ["venues"]

_NOT_A_VENUE: Final = frozenset({"base"})


@cache
def venues() -> dict[str, Venue]:
    """Name to venue, sorted."""
    found = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _NOT_A_VENUE)
    return {name: import_module(f"{__name__}.{name}").VENUE for name in found}
