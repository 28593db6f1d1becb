"""A bound on a worker's warm shutdown: it has ended before its container's grace period is over, even if Redis hangs.

A warm shutdown waits for the tasks in hand and says good-bye to the broker. With a broker that hangs, each step of that
takes a time-out. Messages that were not acknowledged by then are delivered to other workers.
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
    """Start the countdown at the first request to end."""
    if not _watching.is_set():
        _watching.set()
        threading.Thread(target=_wait, args=(SECONDS, end_hard), name="shutdown", daemon=True).start()


def _wait(seconds: float, end: Callable[[], None]) -> None:
    time.sleep(seconds)  # the process mostly ends meanwhile, and this thread with it
    end()


def end_hard() -> None:
    """Kill this process and its children now."""
    log.error("shutdown_took_too_long", seconds=SECONDS)
    for child in psutil.Process().children(recursive=True):
        try:
            child.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    os._exit(1)
