"""``performance_monitor``: how long a call took, what memory it kept, and whether it succeeded."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, overload

import psutil
import structlog

__all__ = ["performance_monitor"]

log = structlog.get_logger("fintrack.performance")

P = ParamSpec("P")
R = TypeVar("R")


@overload
def performance_monitor(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def performance_monitor(*, name: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def performance_monitor(function: Callable[..., Any] | None = None, /, *, name: str | None = None) -> Any:
    """Log each call of the function: seconds, change of the process' resident memory in MB, success.

    An exception passes through unchanged. Use it plain or with a name: ``@performance_monitor(name="load")``.
    """

    def decorate(wrapped: Callable[P, R]) -> Callable[P, R]:
        label = name or wrapped.__qualname__

        @functools.wraps(wrapped)
        def monitored(*args: P.args, **kwargs: P.kwargs) -> R:
            process = psutil.Process()
            began, memory, success = time.perf_counter(), process.memory_info().rss, False
            try:
                result = wrapped(*args, **kwargs)
                success = True
                return result
            finally:
                log.info(
                    "call_finished",
                    function=label,
                    seconds=round(time.perf_counter() - began, 6),
                    memory_mb=round((process.memory_info().rss - memory) / 1024 / 1024, 3),
                    success=success,
                )

        return monitored

    return decorate if function is None else decorate(function)
