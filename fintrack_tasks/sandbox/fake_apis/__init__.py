"""The fake APIs of the providers, found by their files: one file each, with an object named ``FAKE_API``."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import Final

from fintrack_tasks.sandbox.fake_apis.base import FakeApi

__all__ = ["all_apis"]

_NOT_AN_API: Final = frozenset({"base"})


@cache
def all_apis() -> dict[str, FakeApi]:
    """A provider's name to its fake API, sorted."""
    found = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _NOT_AN_API)
    return {name: import_module(f"{__name__}.{name}").FAKE_API for name in found}
