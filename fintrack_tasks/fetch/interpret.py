"""Every call of a provider's ``parse``: an unforeseen exception becomes a ``MalformedError``, so that all are typed.

A parser may meet what was not foreseen: nesting that ends in a ``RecursionError``, a number that ``decimal`` refuses, a
body that fills the memory. For the item they all mean that this answer cannot be read; parsing it again would fail
again.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TypeVar

import structlog

from fintrack_tasks.errors import FinTrackError, MalformedError

__all__ = ["interpret"]

log = structlog.get_logger("fintrack.interpret")

T = TypeVar("T")


def interpret(provider: str, parse: Callable[[], T]) -> T:
    """The result of ``parse`` for an answer of that provider.

    An exception that is not of :mod:`fintrack_tasks.errors` is logged once, by its type and place, and becomes a
    :class:`MalformedError`. Its text is not logged: it may repeat the answer.

    :raises fintrack_tasks.errors.ProviderError: the subclass says what the answer means.
    """
    try:
        return parse()
    except FinTrackError:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, it is logged here and ends the reading of this answer
        kind, place = type(error).__name__, _place(error)
    # Outside of the handler: the error's frames, which hold the answer, are let go.
    log.error("parser_failed", provider=provider, error=kind, place=place)
    raise MalformedError(f"{provider}: the answer cannot be read: {kind} at {place}")


def _place(error: Exception) -> str:
    """The file and line of ours nearest to where it happened."""
    last = "?"
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("fintrack_tasks."):
            last = f"{module.removeprefix('fintrack_tasks.')}:{line}"
    return last
