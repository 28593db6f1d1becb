"""A fix of Celery's prefork pool: a connection that breaks while a child is being replaced must not end the worker.

With each new connection the pool has the event loop watch its children. One that has just ended is still among them,
but there is nothing to watch any more; Celery takes what it finds there for a file descriptor and ends with
``ValueError: file descriptor is None``.
"""

from __future__ import annotations

from typing import Any

from celery import signals

__all__ = ["use"]


@signals.celeryd_init.connect
def use(**_: Any) -> None:
    """Make this worker's pool skip children that have ended; they are replaced all the same."""
    from celery.concurrency.asynpool import AsynPool  # noqa: PLC0415  a worker alone needs the pool

    if getattr(AsynPool._track_child_process, "passes_over_ended", False):
        return
    track = AsynPool._track_child_process

    def tracked(pool: Any, process: Any, hub: Any) -> None:
        if getattr(process, "_sentinel_poll", 0) is not None:
            track(pool, process, hub)

    tracked.passes_over_ended = True  # type: ignore[attr-defined]  # not wrapped again by a second worker's start
    AsynPool._track_child_process = tracked
