"""The one seam between an answer and what a parser makes of it: nothing but typed errors comes out.

A parser may meet what nobody thought of: nesting that ends in a ``RecursionError``, a number that ``decimal`` refuses,
a body that fills the memory. To the item all of them say one thing, that this answer cannot be read; asking the parser
again would only say it again.
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
    """What ``parse`` makes of an answer of that provider.

    What it raises beyond the errors of :mod:`fintrack_tasks.errors` is told once in the log, by its type and place, and
    becomes a :class:`MalformedError`. Its text is not told: it may repeat the answer.

    :raises fintrack_tasks.errors.ProviderError: the subclass says what the answer means.
    """
    try:
        return parse()
    except FinTrackError:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, it is told here and ends the reading of this answer
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
