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
    """Whether the prices of this process' command are simulated, and whether the notice was printed."""

    simulated: Callable[[], bool] = staticmethod(_by_settings)
    told = False


_frame = _Frame()


def set_price_source(simulated: Callable[[], bool]) -> None:
    """Set the function that says whether prices are simulated; it is called when something is printed."""
    _frame.simulated, _frame.told = simulated, False


def note_once() -> str | None:
    """The notice before a command's first line; ``None`` when printed before, or when prices are real."""
    if _frame.told or not _frame.simulated():
        return None
    _frame.told = True
    return NOTE


def with_simulated_field(value: Any) -> Any:
    """A JSON object with ``"simulated": true`` added where prices are simulated; anything else unchanged."""
    return {**value, "simulated": True} if isinstance(value, dict) and _frame.simulated() else value
