"""A bound on Flower's shutdown: it exits within seconds of SIGTERM, whatever its broker does.

It has nothing in hand. But Python waits at its end for the threads in which Flower asks the broker, and one that hangs
holds them for as long as it likes.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, Final

__all__ = ["SECONDS", "limit_shutdown"]

SECONDS: Final = 5.0
"""From the first request to end; the containers' grace is 40 s, that of ``fintrack down`` 15."""


def limit_shutdown() -> None:
    """Exit at most :data:`SECONDS` after the next SIGTERM; call it once Flower has installed its own handler."""
    handler = signal.getsignal(signal.SIGTERM)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        return

    def end(number: int, frame: Any) -> Any:
        last = threading.Timer(SECONDS, os._exit, (0,))
        last.daemon = True
        last.start()
        return handler(number, frame)

    signal.signal(signal.SIGTERM, end)
