"""The providers, found by their files: a new provider is one new file in this folder.

A provider's file holds one object named ``PROVIDER`` that implements
:class:`fintrack_tasks.fetch.providers.base.Provider`.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import Final

from fintrack_tasks.errors import UsageError
from fintrack_tasks.fetch.providers.base import Provider

__all__ = ["names", "provider"]

_NOT_A_PROVIDER: Final = frozenset({"answers", "base", "json_body", "live_rows"})


@cache
def _all() -> dict[str, Provider]:
    found = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _NOT_A_PROVIDER)
    return {name: import_module(f"{__name__}.{name}").PROVIDER for name in found}


def names() -> tuple[str, ...]:
    """The names of all providers, sorted."""
    return tuple(_all())


def provider(name: str) -> Provider:
    """The provider of that name.

    :raises UsageError: when there is none.
    """
    try:
        return _all()[name]
    except KeyError:
        raise UsageError(f"no provider {name!r:.40}; the providers are {', '.join(names())}") from None
