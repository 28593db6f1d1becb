"""The notice above a command's output, and the JSON field, that mark simulated prices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fintrack_tasks.errors import ConfigurationError
from fintrack_tasks.settings import load_settings

__all__ = ["NOTE", "note_once", "set_price_source", "with_simulated_field"]

NOTE: Final = "simulated prices: the local market's, not real ones"


def _by_settings() -> bool:
    try:
        return load_settings().simulated
    except ConfigurationError:
        return False  # whoever needed a setting has said what is wrong with it


class _Frame:
    """What is known of the prices of this process' command."""

    simulated: Callable[[], bool] = staticmethod(_by_settings)
    told = False


_frame = _Frame()


def set_price_source(simulated: Callable[[], bool]) -> None:
    """From now on the prices come from there; it is asked when something is shown."""
    _frame.simulated, _frame.told = simulated, False


def note_once() -> str | None:
    """What goes ahead of a command's first line, if anything."""
    if _frame.told or not _frame.simulated():
        return None
    _frame.told = True
    return NOTE


def with_simulated_field(value: Any) -> Any:
    """An object for machines, which says by ``simulated`` that its prices are; without it they are not."""
    return {**value, "simulated": True} if isinstance(value, dict) and _frame.simulated() else value
