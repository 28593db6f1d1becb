"""A worker that was told to end is gone before its container's grace is over, whatever its servers do.

A warm shutdown waits for the tasks in hand and says good-bye to the broker. With a broker that hangs each word of that
takes a time-out. What was not acknowledged by then comes again: the other workers take it up.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import psutil
import structlog
from celery import signals

__all__ = ["SECONDS", "end_hard", "watch"]

log = structlog.get_logger("fintrack.shutdown")

SECONDS: Final = 30.0
"""Above ``worker_soft_shutdown_timeout`` (20 s), in which the tasks in hand may end; below the containers' 40 s."""

_watching = threading.Event()


@signals.worker_shutting_down.connect
def watch(**_: Any) -> None:
    """Count from the first request to end."""
    if not _watching.is_set():
        _watching.set()
        threading.Thread(target=_wait, args=(SECONDS, end_hard), name="shutdown", daemon=True).start()


def _wait(seconds: float, end: Callable[[], None]) -> None:
    time.sleep(seconds)  # the process mostly ends meanwhile, and this thread with it
    end()


def end_hard() -> None:
    """End this process and its children now, without a word to anybody."""
    log.error("shutdown_took_too_long", seconds=SECONDS)
    for child in psutil.Process().children(recursive=True):
        try:
            child.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    os._exit(1)
