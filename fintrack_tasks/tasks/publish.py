"""Bring the outbox to Kafka: soon after each commit, and by the schedule as a safety net."""

from __future__ import annotations

from typing import Any, Final

import redis.exceptions
import structlog

from fintrack_tasks import pipeline
from fintrack_tasks.app import app
from fintrack_tasks.tasks.base import OUTAGES, BaseTask, connections, stage_context
from fintrack_tasks.tasks.quality import measure_soon

__all__ = ["publish", "publish_soon"]

log = structlog.get_logger("fintrack.tasks")

_PENDING: Final = "fintrack:publish-pending"
_PENDING_SECONDS: Final = 5
_LINGER_SECONDS: Final = 0.15
"""A burst of commits is collected for so long: one drain for many costs the fleet less than one for each."""
_BUSY_SECONDS: Final = 1.0
"""A drain that finds another one at work looks again after so long."""


@app.task(name="fintrack.publish", base=BaseTask, bind=True, send_events=False)
def publish(self: BaseTask) -> dict[str, Any]:
    """Close complete runs and send what the outbox holds."""
    # The mark goes before the outbox is read: a commit that finds no mark enqueues the next drain, and a commit
    # that finds one is early enough to be read by this drain.
    connections().redis.delete(_PENDING)
    sent = pipeline.publish_events(context=stage_context(), producer=connections().producer)
    if sent is None:
        # What was committed since the other drain looked last must not wait for the schedule.
        publish_soon(_BUSY_SECONDS)
        return {"published": 0, "busy": True}
    measure_soon()
    return {"published": sent}


def publish_soon(countdown: float = _LINGER_SECONDS) -> None:
    """Enqueue one drain unless one is waiting already: a burst of commits shares it.

    The mark expires, so that a drain that was lost with its worker does not silence later ones.
    """
    try:
        if connections().redis.set(_PENDING, 1, nx=True, ex=_PENDING_SECONDS):
            publish.apply_async(countdown=countdown)
    except (*OUTAGES, redis.exceptions.ResponseError) as error:
        # What was committed stays committed: the schedule's own drain brings the events when Redis is back.
        log.warning("drain_not_enqueued", error=type(error).__name__)
